"""The feature table: every column of the matrix that rules and models read, in order.

One row here is all it takes to name a feature; the compiled loops fill the column of the same position
(``account/account_walk.py`` fills what an account row knows, ``payee/payee_walk.py`` what a payee row knows). ``docs/features.md`` is
generated from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rules.pack_schema import Kind, Schema, Variable
from stream.contracts.country import COUNTRIES
from stream.contracts.currency import MINOR_UNIT_DIGITS
from stream.core import columns

Row = Literal["transaction", "account", "pair", "customer", "customer_pair", "payee", "policy"]
Scale = Literal["none", "linear", "log", "flag", "code"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the feature matrix.

    Parameters
    ----------
    name, unit, meaning
        As in the generated table.
    row
        The row the value is read from: the transaction itself, its account row, the pair (account, payee) kept
        in the account row, the customer's row over several accounts (``customer_pair``: what it knows of this payee),
        the payee row, or the policy (filled when deciding).
    kind, values, nullable, keeps_days
        As in :class:`rules.pack_schema.Variable`.
    scale
        How a model should read it: ``linear``, ``log`` (heavy-tailed, non-negative), ``flag`` (0/1), ``code``
        (small enumeration); ``none`` keeps it from models, for rules only.
    zh
        Chinese name, for a reviewer's reasons.
    model_most
        Larger values look like this one to a model. What grows as long as the line lives (ages, payees met) is cut where
        it stops meaning "new": history begins with the installation, so beyond that it is the line's own age.
    pair_dependent
        Whether it comes from the pair's history; ``replay --without-familiarity`` leaves these out.
    """

    name: str
    row: Row
    kind: Kind
    scale: Scale
    unit: str
    meaning: str
    zh: str
    nullable: bool = False
    values: tuple[str, ...] = ()
    keeps_days: float = 0.0
    model_most: float | None = None

    @property
    def pair_dependent(self) -> bool:
        """Whether the value depends on the history between this account and this payee."""
        return self.row in ("pair", "customer_pair")


def _feature(
    name: str,
    row: Row,
    kind: Kind,
    scale: Scale,
    unit: str,
    meaning: str,
    zh: str,
    *,
    null: bool = False,
    values: tuple[str, ...] = (),
    days: float = 0.0,
    most: float | None = None,
) -> Feature:
    return Feature(name, row, kind, scale, unit, meaning, zh, null, values, days, most)


NEW_DAYS = 30.0
"""An account, a device or a payee is no longer new to a model after so long."""

# fmt: off
FEATURES: tuple[Feature, ...] = (
    # --- the transaction itself
    _feature("amount_minor", "transaction", "int", "log", "minor units", "Amount as told, in the account's currency where that is told, else in the payment's. Models read it in the reference currency instead.", "金额"),
    _feature("currency", "transaction", "code", "none", "ISO 4217", "Currency of the payment.", "币种"),
    _feature("country", "transaction", "code", "none", "ISO 3166", "Where the customer acted.", "交易国家", null=True),
    _feature("payee_country", "transaction", "code", "none", "ISO 3166", "Country of the payee.", "收款国家", null=True),
    _feature("home_country", "transaction", "code", "none", "ISO 3166", "Customer's home country: as told, else the first country seen on the account.", "常住国家", null=True),
    _feature("channel", "transaction", "enum", "code", "", "Channel of the payment.", "渠道", values=columns.CHANNELS),
    _feature("payee_kind", "transaction", "enum", "code", "", "Kind of payee.", "收款方类型", values=columns.PAYEE_KINDS),
    _feature("name_check", "transaction", "enum", "code", "", "Result of the payee name check.", "户名核验", values=columns.NAME_CHECKS),
    _feature("purpose", "transaction", "enum", "code", "", "Purpose, as one of the known words.", "用途", values=columns.PURPOSES),
    _feature("scenario_hint", "transaction", "enum", "none", "", "The producer's scenario hint.", "场景提示", values=columns.SCENARIOS),
    _feature("segment", "transaction", "enum", "none", "", "Customer segment.", "客户分层", values=columns.SEGMENTS),
    _feature("age_band", "transaction", "enum", "none", "", "Customer's age band.", "年龄段", values=columns.AGE_BANDS),
    _feature("vulnerable", "transaction", "bool", "none", "", "The bank marks the customer as vulnerable.", "需特别保护"),
    _feature("slips", "transaction", "int", "none", "count", "Slips reported with this payment.", "本次差错数"),
    _feature("has_payee", "transaction", "bool", "flag", "", "The payment names a payee.", "有收款方"),
    _feature("hour", "transaction", "double", "linear", "hours 0-24 UTC", "Hour of the day of the event.", "时段"),
    _feature("weekday", "transaction", "int", "linear", "0 Monday - 6", "Day of the week of the event, UTC.", "星期"),
    _feature("cross_border", "transaction", "bool", "flag", "", "The payee's country is known and is not the home country.", "跨境收款"),
    _feature("abroad", "transaction", "bool", "flag", "", "The place's country is known and is not the home country.", "境外交易"),
    # --- the account's own habits
    _feature("account_age_days", "account", "double", "log", "days", "Since the line, or the history behind it, first saw the account: what is new to a young line need not be new to the customer.", "账户使用天数", days=3650, most=NEW_DAYS),
    _feature("account_payments", "account", "int", "log", "count", "Payments of the account that matured as normal.", "正常交易数", days=3650, most=30.0),
    _feature("amount_to_mean", "account", "double", "log", "ratio", "Amount over the account's usual (geometric mean) amount.", "相对平时金额", null=True, days=3650),
    _feature("amount_deviation", "account", "double", "linear", "standard deviations", "Deviation of the amount's logarithm from the account's own.", "金额偏离度", null=True, days=3650),
    _feature("amount_to_max", "account", "double", "log", "ratio", "Amount over the account's largest normal amount.", "相对最大金额", null=True, days=3650),
    _feature("count_hour", "account", "double", "log", "count", "Decayed count of attempts within about an hour, this one included.", "近一小时笔数", days=0.25),
    _feature("count_day", "account", "double", "log", "count", "Decayed count of attempts within about a day.", "近一天笔数", days=5),
    _feature("count_week", "account", "double", "log", "count", "Decayed count of attempts within about a week.", "近一周笔数", days=35),
    _feature("count_month", "account", "double", "log", "count", "Decayed count of attempts within about a month.", "近一月笔数", days=150),
    _feature("sum_hour", "account", "double", "log", "reference minor units", "Decayed sum of attempts within about an hour, this one included.", "近一小时金额", days=0.25),
    _feature("sum_day", "account", "double", "log", "reference minor units", "Decayed sum of attempts within about a day.", "近一天金额", days=5),
    _feature("sum_week", "account", "double", "log", "reference minor units", "Decayed sum of attempts within about a week.", "近一周金额", days=35),
    _feature("sum_month", "account", "double", "log", "reference minor units", "Decayed sum of attempts within about a month.", "近一月金额", days=150),
    _feature("outflow_share", "account", "double", "log", "ratio", "Outflow of about a day over the usual outflow of a day.", "当日支出占平日比", null=True, days=150),
    _feature("recent_amount_to_mean", "account", "double", "log", "ratio", "Mean amount of about the last week's attempts over the usual amount.", "近期均额比", null=True, days=3650),
    _feature("large_week", "account", "double", "log", "count", "Decayed count of attempts within about a week of over 2.5 times the usual amount, this one included.", "近一周大额笔数", days=35),
    _feature("large_share_week", "account", "double", "linear", "share 0-1", "Share of about the last week's attempts of over 2.5 times the usual amount.", "近一周大额占比", days=35),
    _feature("recent_peak", "account", "double", "log", "ratio", "Largest of the last three attempts over the usual amount.", "近三笔峰值比", null=True, days=3650),
    _feature("hour_share", "account", "double", "linear", "share 0-1", "Share of the account's normal payments made around this hour.", "同时段占比", null=True, days=3650),
    _feature("channel_share", "account", "double", "linear", "share 0-1", "Share of the account's normal payments made through this channel.", "同渠道占比", null=True, days=3650),
    _feature("home_distance_km", "account", "double", "log", "km", "From where the account usually pays.", "距常用地", null=True, days=3650),
    _feature("travel_speed_kmh", "account", "double", "log", "km/h", "Speed needed from the last place to this one.", "位移速度", null=True, days=3650),
    _feature("country_new", "account", "bool", "flag", "", "The place's country was never seen on this account.", "新国家", days=3650),
    _feature("device_new", "account", "bool", "flag", "", "A device never seen on an account that has used others.", "新设备", days=3650),
    _feature("device_age_days", "account", "double", "log", "days", "Since this device was first seen on the account; 0 for a first one.", "设备使用天数", null=True, days=3650, most=NEW_DAYS),
    _feature("device_change_days", "account", "double", "log", "days", "Since the account last changed to a new device.", "换设备天数", null=True, days=3650),
    _feature("idle_hours", "account", "double", "log", "hours", "Since the account's last attempt.", "距上次交易小时", null=True, days=3650),
    _feature("new_payees_day", "account", "double", "log", "count", "Decayed count of first payments to new payees within about a day, this one included.", "近一天新收款方", days=5),
    _feature("known_payees", "account", "int", "log", "count", "Payees with at least one matured payment.", "熟悉收款方数", days=3650, most=10.0),
    _feature("slips_recent", "account", "double", "none", "count", "Decayed count of slips within about a month, before this payment.", "近期差错", days=150),
    _feature("failed_checks", "account", "double", "log", "count", "Decayed count of failed challenges within about a week.", "近期核验失败", days=35),
    _feature("account_frauds", "account", "double", "log", "count", "Decayed count of confirmed frauds on the account within about a month.", "账户欺诈数", days=150),
    _feature("account_fraud_days", "account", "double", "log", "days", "Since the account's last confirmed fraud became known.", "距上次欺诈天数", null=True, days=3650),
    _feature("account_episode_days", "account", "double", "log", "days", "Since the current run of confirmed frauds on the account began.", "欺诈期天数", null=True, days=3650),
    _feature("remote_sum_24h", "account", "double", "none", "reference minor units", "Sum of remote attempts (app, web, call, api) to payees of the last 24 to 28 hours, this one included where it is one.", "近一日非柜面付款额", days=1),
    _feature("unauthenticated_sum", "account", "double", "none", "reference minor units", "Sum of earlier remote attempts to payees since the last passed challenge.", "上次强认证以来金额", days=3650),
    _feature("unauthenticated_count", "account", "int", "none", "count", "Earlier remote attempts to payees since the last passed challenge.", "上次强认证以来笔数", days=3650),
    # --- the pair: this account and this payee
    _feature("pair_payments", "pair", "int", "log", "count", "Matured payments to this payee.", "对该收款方正常笔数", days=3650),
    _feature("pair_attempts", "pair", "int", "log", "count", "Earlier attempts to this payee, matured or not.", "对该收款方笔数", days=3650),
    _feature("pair_age_days", "pair", "double", "log", "days", "Since the first attempt to this payee.", "相识天数", null=True, days=3650),
    _feature("pair_idle_days", "pair", "double", "log", "days", "Since the last attempt to this payee.", "距上次付该方天数", null=True, days=3650),
    _feature("amount_to_pair_mean", "pair", "double", "log", "ratio", "Amount over the usual (geometric mean) amount to this payee.", "相对该方均额", null=True, days=3650),
    _feature("amount_to_pair_max", "pair", "double", "log", "ratio", "Amount over the largest matured amount to this payee.", "相对该方最大额", null=True, days=3650),
    _feature("pair_channel_known", "pair", "bool", "flag", "", "This payee was paid through this channel before, and it matured.", "惯用渠道", days=3650),
    _feature("pair_cleared", "pair", "bool", "none", "", "A genuine verdict or a passed strong challenge covers this payee, in this amount band, now.", "已核实", days=90),
    _feature("pair_adverse", "pair", "bool", "flag", "", "A payment to this payee had an adverse outcome that counts against it: within 90 days of the account's last fraud, and not where the payee is a merchant or biller with whom payments matured, or a person long known and paid as usual.", "曾有不良", days=90),
    # --- the customer, over all accounts of one customer_id; equal to the account's own where there is but one
    _feature("customer_count_hour", "customer", "double", "none", "count", "Decayed count of attempts through any account of the customer within about an hour, this one included.", "客户近一小时笔数", days=0.25),
    _feature("customer_count_day", "customer", "double", "none", "count", "The same within about a day.", "客户近一天笔数", days=5),
    _feature("customer_new_payees_day", "customer", "double", "none", "count", "Decayed count of payees new to the customer, through any account, within about a day.", "客户近一天新收款方", days=5),
    _feature("customer_pair_payments", "customer_pair", "int", "none", "count", "Matured payments to this payee through the account that knows it best.", "客户对该收款方正常笔数", days=3650),
    _feature("customer_pair_age_days", "customer_pair", "double", "none", "days", "Since the first attempt to this payee through any account.", "客户相识天数", null=True, days=3650),
    _feature("customer_pair_idle_days", "customer_pair", "double", "none", "days", "Since the last attempt to this payee through any account.", "客户距上次付该方天数", null=True, days=3650),
    _feature("amount_to_customer_pair_max", "customer_pair", "double", "none", "ratio", "Amount over the largest matured amount to this payee through any account.", "相对客户付该方最大额", null=True, days=3650),
    # --- the payee
    _feature("payee_age_days", "payee", "double", "log", "days", "Since this payee was first paid by anyone.", "收款方已知天数", days=3650, most=NEW_DAYS),
    _feature("payee_count_hour", "payee", "double", "log", "count", "Decayed count of payments in within about an hour, this one included.", "收款方近一小时笔数", days=0.25),
    _feature("payee_count_day", "payee", "double", "log", "count", "Decayed count of payments in within about a day.", "收款方近一天笔数", days=5),
    _feature("payee_count_month", "payee", "double", "log", "count", "Decayed count of payments in within about a month.", "收款方近一月笔数", days=150),
    _feature("payee_inflow_day", "payee", "double", "log", "reference minor units", "Decayed inflow within about a day.", "收款方近一天流入", days=5),
    _feature("payee_payers", "payee", "double", "log", "count", "Distinct payers within one to two weeks (estimate).", "付款人数", days=14),
    _feature("payee_stranger_share", "payee", "double", "linear", "share 0-1", "Share of about a week's payments that came from first-time payers.", "陌生付款占比", days=35),
    _feature("payee_strangers_day", "payee", "double", "log", "count", "Decayed count of first-time payers within about a day.", "近一天陌生付款", days=5),
    _feature("payee_dormant_days", "payee", "double", "log", "days", "How long the payee received nothing before this payment.", "收款方沉寂天数", null=True, days=3650),
    _feature("amount_to_payee_mean", "payee", "double", "log", "ratio", "Amount over the payee's usual (geometric mean) amount received.", "相对收款方均额", null=True, days=3650),
    _feature("payee_frauds_week", "payee", "double", "log", "count", "Decayed count of confirmed frauds to this payee within about a week.", "收款方近一周欺诈", days=35),
    _feature("payee_frauds_month", "payee", "double", "log", "count", "Decayed count of confirmed frauds to this payee within about a month.", "收款方近一月欺诈", days=150),
    _feature("payee_fraud_rate", "payee", "double", "log", "share", "Confirmed frauds over payments to this payee within about a month, smoothed.", "收款方欺诈率", days=150),
    _feature("payee_rate_day", "payee", "double", "log", "share", "Confirmed frauds over payments of the payee's last one to two days whose outcome has matured, smoothed.", "收款方近一日成熟欺诈率", days=32),
    _feature("payee_rate_week", "payee", "double", "log", "share", "The same over the last week whose outcome has matured.", "收款方近一周成熟欺诈率", days=38),
    _feature("payee_rate_month", "payee", "double", "log", "share", "The same over the last 28 days whose outcome has matured.", "收款方近一月成熟欺诈率", days=58),
    _feature("payee_fraud_days", "payee", "double", "log", "days", "Since the payee's last confirmed fraud became known.", "收款方距上次欺诈天数", null=True, days=3650),
    _feature("payee_episode_days", "payee", "double", "log", "days", "Since the current run of confirmed frauds at this payee began.", "收款方欺诈期天数", null=True, days=3650),
    # --- filled when deciding
    _feature("scenario", "policy", "enum", "code", "", "The scenario whose pack matched.", "场景", values=columns.SCENARIOS),
    _feature("amount_reference", "policy", "double", "none", "reference units", "Amount in the reference currency, by the dated rates that the payment was walked with.", "折算金额", null=True),
    _feature("remote_day_reference", "policy", "double", "none", "reference units", "remote_sum_24h in units of the reference currency; missing where an amount of it had no rate.", "折算近一日非柜面付款额", null=True),
    _feature("unauthenticated_reference", "policy", "double", "none", "reference units", "unauthenticated_sum in units of the reference currency; missing where an amount of it had no rate.", "折算上次强认证以来金额", null=True),
    _feature("anomaly_ppm", "policy", "int", "none", "ppm", "Calibrated rate of payments at least as unusual as this one, inverted: 1000000 is the rarest.", "异常度"),
)

# fmt: on
INDEX: dict[str, int] = {feature.name: position for position, feature in enumerate(FEATURES)}
WIDTH = len(FEATURES)
ACCOUNT_WIDTH = next(i for i, f in enumerate(FEATURES) if f.row == "payee")
"""Columns filled by the account hop; they are the first ones and travel in the profiled frame."""
MODEL_COLUMNS: tuple[int, ...] = tuple(i for i, f in enumerate(FEATURES) if f.scale != "none")
_CODES = {"ISO 3166": COUNTRIES, "ISO 4217": frozenset(MINOR_UNIT_DIGITS)}
SCHEMA = Schema(
    tuple(
        Variable(f.name, f.kind, f.unit, f.meaning, f.nullable, f.values, f.keeps_days, _CODES.get(f.unit, frozenset()))
        for f in FEATURES
    )
)
