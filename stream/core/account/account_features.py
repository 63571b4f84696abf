"""Features of a payment as its account's history sees it, before the payment itself is recorded."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from detectors.elementary import asin, cos, exp, log, sin
from stream.core.account.account_row import (
    ADVERSE_PAIR,
    CHANNEL_BINS,
    COUNTRIES,
    DAY_BINS,
    DAY_US,
    HOUR_BINS,
    HOUR_US,
    LARGE,
    PAIR_CHANNELS,
    PAIRS,
    advance_day,
    find,
    whole_seconds,
)
from stream.core.columns import CHANNELS, PAYEE_KINDS
from stream.core.features import ACCOUNT_WIDTH, INDEX

REMOTE = sum(1 << CHANNELS.index(word) for word in ("app", "web", "call", "api"))
"""Channels of payments that are remote in the sense of Reg. (EU) 2018/389 and not at a counter, as a mask."""
UNKNOWN_DAY, UNKNOWN_SINCE = 1, 2
MERCHANT, BILLER, OWN = (PAYEE_KINDS.index(word) for word in ("merchant", "biller", "own"))
BLAME_S = 90 * 86_400
"""A bad outcome counts for so long after the account's last confirmed fraud: as long as a genuine verdict does."""
OWN_PAYMENTS, OWN_S, OWN_BAND = 3, 14 * 86_400, 1.25
"""A person is the account's own from so many matured payments on, the first so long before the fraud became known; up to so
many times the largest of them."""
_LAYOUT = {name: position for name, position in INDEX.items() if position < ACCOUNT_WIDTH}
F_AMOUNT = _LAYOUT["amount_minor"]
F_CURRENCY = _LAYOUT["currency"]
F_COUNTRY = _LAYOUT["country"]
F_PAYEE_COUNTRY = _LAYOUT["payee_country"]
F_HOME_COUNTRY = _LAYOUT["home_country"]
F_CHANNEL = _LAYOUT["channel"]
F_PAYEE_KIND = _LAYOUT["payee_kind"]
F_NAME_CHECK = _LAYOUT["name_check"]
F_PURPOSE = _LAYOUT["purpose"]
F_HINT = _LAYOUT["scenario_hint"]
F_SEGMENT = _LAYOUT["segment"]
F_AGE_BAND = _LAYOUT["age_band"]
F_VULNERABLE = _LAYOUT["vulnerable"]
F_SLIPS = _LAYOUT["slips"]
F_HAS_PAYEE = _LAYOUT["has_payee"]
F_HOUR = _LAYOUT["hour"]
F_WEEKDAY = _LAYOUT["weekday"]
F_CROSS_BORDER = _LAYOUT["cross_border"]
F_ABROAD = _LAYOUT["abroad"]
F_AGE_DAYS = _LAYOUT["account_age_days"]
F_PAYMENTS = _LAYOUT["account_payments"]
F_TO_MEAN = _LAYOUT["amount_to_mean"]
F_DEVIATION = _LAYOUT["amount_deviation"]
F_TO_MAX = _LAYOUT["amount_to_max"]
F_COUNTS = _LAYOUT["count_hour"]
F_SUMS = _LAYOUT["sum_hour"]
F_OUTFLOW = _LAYOUT["outflow_share"]
F_RECENT_MEAN = _LAYOUT["recent_amount_to_mean"]
F_LARGE_WEEK = _LAYOUT["large_week"]
F_LARGE_SHARE = _LAYOUT["large_share_week"]
F_PEAK = _LAYOUT["recent_peak"]
F_HOUR_SHARE = _LAYOUT["hour_share"]
F_CHANNEL_SHARE = _LAYOUT["channel_share"]
F_HOME_KM = _LAYOUT["home_distance_km"]
F_SPEED = _LAYOUT["travel_speed_kmh"]
F_COUNTRY_NEW = _LAYOUT["country_new"]
F_DEVICE_NEW = _LAYOUT["device_new"]
F_DEVICE_AGE = _LAYOUT["device_age_days"]
F_DEVICE_CHANGE = _LAYOUT["device_change_days"]
F_IDLE = _LAYOUT["idle_hours"]
F_NEW_PAYEES = _LAYOUT["new_payees_day"]
F_KNOWN_PAYEES = _LAYOUT["known_payees"]
F_SLIPS_RECENT = _LAYOUT["slips_recent"]
F_FAILED = _LAYOUT["failed_checks"]
F_FRAUDS = _LAYOUT["account_frauds"]
F_FRAUD_DAYS = _LAYOUT["account_fraud_days"]
F_EPISODE_DAYS = _LAYOUT["account_episode_days"]
F_REMOTE_DAY = _LAYOUT["remote_sum_24h"]
F_UNAUTHENTICATED = _LAYOUT["unauthenticated_sum"]
F_UNAUTHENTICATED_COUNT = _LAYOUT["unauthenticated_count"]
F_PAIR_PAYMENTS = _LAYOUT["pair_payments"]
F_PAIR_ATTEMPTS = _LAYOUT["pair_attempts"]
F_PAIR_AGE = _LAYOUT["pair_age_days"]
F_PAIR_IDLE = _LAYOUT["pair_idle_days"]
F_PAIR_TO_MEAN = _LAYOUT["amount_to_pair_mean"]
F_PAIR_TO_MAX = _LAYOUT["amount_to_pair_max"]
F_PAIR_CHANNEL = _LAYOUT["pair_channel_known"]
F_PAIR_CLEARED = _LAYOUT["pair_cleared"]
F_PAIR_ADVERSE = _LAYOUT["pair_adverse"]
assert [_LAYOUT[f"count_{w}"] - F_COUNTS for w in ("hour", "day", "week", "month")] == [0, 1, 2, 3]
assert [_LAYOUT[f"sum_{w}"] - F_SUMS for w in ("hour", "day", "week", "month")] == [0, 1, 2, 3]


@njit(cache=True, nogil=True)
def _distance_km(lat1: Any, lon1: Any, lat2: Any, lon2: Any) -> float:
    """Great-circle distance, haversine formula, mean Earth radius 6371 km."""
    to_radians = math.pi / 180.0
    north = sin((lat2 - lat1) * to_radians / 2.0)
    east = sin((lon2 - lon1) * to_radians / 2.0)
    h = north * north + cos(lat1 * to_radians) * cos(lat2 * to_radians) * east * east
    return 2.0 * 6371.0 * asin(math.sqrt(min(max(h, 0.0), 1.0)))


@njit(cache=True, nogil=True)
def _days_since(then_us: Any, now_us: Any) -> float:
    """Days from a remembered time to now; NaN where there is none, never negative."""
    if then_us == 0:
        return math.nan
    return max(now_us - then_us, 0) / DAY_US


@njit(cache=True, nogil=True)
def fill_transaction(transaction: Any, row: Any, out: Any) -> None:
    """Features of the transaction itself."""
    home = transaction["home_country"] if transaction["home_country"] != 0 else row["home_country"]
    country, payee_country = transaction["country"], transaction["payee_country"]
    time_us = transaction["event_time"]
    out[F_AMOUNT] = transaction["account_amount_minor"]
    out[F_CURRENCY] = transaction["currency"]
    out[F_COUNTRY] = country if country != 0 else math.nan
    out[F_PAYEE_COUNTRY] = payee_country if payee_country != 0 else math.nan
    out[F_HOME_COUNTRY] = home if home != 0 else math.nan
    out[F_CHANNEL] = transaction["channel"]
    out[F_PAYEE_KIND] = transaction["payee_kind"]
    out[F_NAME_CHECK] = transaction["name_check"]
    out[F_PURPOSE] = transaction["purpose"]
    out[F_HINT] = transaction["scenario_hint"]
    out[F_SEGMENT] = transaction["segment"]
    out[F_AGE_BAND] = transaction["age_band"]
    out[F_VULNERABLE] = transaction["vulnerable"]
    out[F_SLIPS] = transaction["slip_count"]
    out[F_HAS_PAYEE] = 1.0 if transaction["payee_hash"] != 0 else 0.0
    out[F_HOUR] = (time_us % DAY_US) / HOUR_US
    out[F_WEEKDAY] = (time_us // DAY_US + 3) % 7
    out[F_CROSS_BORDER] = 1.0 if payee_country != 0 and home != 0 and payee_country != home else 0.0
    out[F_ABROAD] = 1.0 if country != 0 and home != 0 and country != home else 0.0


@njit(cache=True, nogil=True)
def fill_amount(row: Any, time_us: Any, amount: Any, out: Any) -> None:
    """How the amount compares with the account's own normal; an amount that is not known, with nothing."""
    out[F_PAYMENTS] = row["matured"]
    out[F_TO_MEAN] = math.nan
    out[F_DEVIATION] = math.nan
    out[F_TO_MAX] = math.nan
    out[F_OUTFLOW] = math.nan
    out[F_RECENT_MEAN] = math.nan
    out[F_PEAK] = math.nan
    out[F_LARGE_WEEK] = row["large_week"]
    out[F_LARGE_SHARE] = row["large_week"] / (row["counts"][2] + 1.0)
    if row["normal_count"] == 0:
        return
    usual = exp(row["normal_mean"])
    peak = max(row["last_amounts"][0], row["last_amounts"][1], row["last_amounts"][2])
    out[F_PEAK] = (1.0 + peak) / usual
    if math.isnan(amount):
        return
    logarithm = log(1.0 + amount)
    out[F_TO_MEAN] = (1.0 + amount) / usual
    # a few payments say little about the spread: shrink towards half an e-fold
    count = min(np.int64(row["normal_count"]), 30)
    variance = (row["normal_variance"] * count + 0.5 * 4.0) / (count + 4.0)
    out[F_DEVIATION] = (logarithm - row["normal_mean"]) / math.sqrt(variance)
    out[F_TO_MAX] = (1.0 + amount) / (1.0 + row["normal_max"])
    normal_us = np.int64(row["normal_time"]) * 1_000_000
    known_days = min(max((normal_us - row["first_seen"]) / DAY_US, 1.0), 30.0)
    faded = exp(-max(time_us - normal_us, 0) / DAY_US / 30.0)
    usual_day = row["normal_sum"] * faded / known_days
    out[F_OUTFLOW] = (1.0 + row["sums"][1] + amount) / (1.0 + max(usual_day, usual))
    large = row["large_week"] + (1.0 if 1.0 + amount > LARGE * usual else 0.0)
    out[F_LARGE_WEEK] = large
    out[F_LARGE_SHARE] = large / (row["counts"][2] + 1.0)
    out[F_RECENT_MEAN] = (1.0 + (row["sums"][2] + amount) / (row["counts"][2] + 1.0)) / usual


@njit(cache=True, nogil=True)
def fill_habits(transaction: Any, row: Any, amount: Any, out: Any) -> None:
    """Velocities, hour, channel, what went wrong lately."""
    time_us = transaction["event_time"]
    added = 0.0 if math.isnan(amount) else amount
    out[F_AGE_DAYS] = _days_since(row["first_seen"], time_us) if row["attempts"] > 0 else 0.0
    for window in range(4):
        out[F_COUNTS + window] = row["counts"][window] + 1.0
        out[F_SUMS + window] = row["sums"][window] + added
    out[F_IDLE] = 24.0 * _days_since(row["last_seen"], time_us) if row["attempts"] > 0 else math.nan
    out[F_SLIPS_RECENT] = row["slips_month"]
    out[F_FAILED] = row["failed_week"]
    out[F_FRAUDS] = row["frauds_month"]
    out[F_FRAUD_DAYS] = _days_since(row["fraud_last"], time_us)
    out[F_EPISODE_DAYS] = _days_since(row["fraud_episode"], time_us)
    out[F_HOUR_SHARE] = math.nan
    out[F_CHANNEL_SHARE] = math.nan
    if row["matured"] == 0:
        return
    total, channels = 0.0, 0.0
    for i in range(HOUR_BINS):
        total += np.float64(row["hours"][i])
    for i in range(CHANNEL_BINS):
        channels += np.float64(row["channels"][i])
    at = (time_us // (3 * HOUR_US)) % HOUR_BINS
    beside = np.float64(row["hours"][(at + 1) % HOUR_BINS]) + np.float64(row["hours"][(at + HOUR_BINS - 1) % HOUR_BINS])
    out[F_HOUR_SHARE] = (np.float64(row["hours"][at]) + 0.5 * beside) / (2.0 * total)
    out[F_CHANNEL_SHARE] = np.float64(row["channels"][transaction["channel"]]) / channels


@njit(cache=True, nogil=True)
def fill_remote(transaction: Any, row: Any, amount: Any, out: Any) -> bool:
    """Sums of remote payments to payees; returns whether this is one."""
    channel = transaction["channel"]
    remote = transaction["payee_hash"] != 0 and (REMOTE >> channel) & 1 == 1
    advance_day(row, transaction["event_time"])
    day = amount if remote and not math.isnan(amount) else 0.0
    for i in range(DAY_BINS):
        day += np.float64(row["day_sums"][i])
    out[F_REMOTE_DAY] = day
    out[F_UNAUTHENTICATED] = row["unauthenticated_sum"]
    out[F_UNAUTHENTICATED_COUNT] = row["unauthenticated_count"]
    return remote


@njit(cache=True, nogil=True)
def unknown_sums(row: Any, of_now: Any) -> int:
    """Which legal sums have an amount in them that is not known: UNKNOWN_DAY, UNKNOWN_SINCE; ``of_now``: this payment's is."""
    day = UNKNOWN_DAY if row["day_unknown"] != 0 or of_now else 0
    return day | (UNKNOWN_SINCE if row["unauthenticated_unknown"] != 0 else 0)


@njit(cache=True, nogil=True)
def fill_place(transaction: Any, row: Any, out: Any) -> None:
    """Home, the last place, a country never seen."""
    lat, lon = transaction["lat"], transaction["lon"]
    out[F_HOME_KM] = math.nan
    out[F_SPEED] = math.nan
    if not math.isnan(lat) and not math.isnan(lon):
        if row["place_count"] > 0:
            out[F_HOME_KM] = _distance_km(np.float64(row["home_lat"]), np.float64(row["home_lon"]), lat, lon)
        if row["last_place_time"] != 0:
            apart = _distance_km(np.float64(row["last_lat"]), np.float64(row["last_lon"]), lat, lon)
            # places are known to about a kilometre and times to minutes: nothing faster is claimed from less
            hours = max(abs(transaction["event_time"] - row["last_place_time"]) / HOUR_US, 0.1)
            out[F_SPEED] = apart / hours if apart > 2.0 else 0.0
    known = row["countries"][0] != 0
    new = transaction["country"] != 0 and known
    for i in range(COUNTRIES):
        if row["countries"][i] == transaction["country"]:
            new = False
    out[F_COUNTRY_NEW] = 1.0 if new else 0.0


@njit(cache=True, nogil=True)
def fill_device(transaction: Any, row: Any, out: Any) -> None:
    """Whether the device is new, how long it is known, when the account last changed."""
    time_us = transaction["event_time"]
    out[F_DEVICE_NEW] = 0.0
    out[F_DEVICE_AGE] = math.nan
    out[F_DEVICE_CHANGE] = _days_since(row["device_change"], time_us)
    if transaction["device_hash"] == 0:
        return
    position = find(row["device_hash"], transaction["device_hash"])
    if position >= 0:
        out[F_DEVICE_AGE] = max(time_us // 1_000_000 - np.int64(row["device_first"][position]), 0) / 86_400.0
        return
    out[F_DEVICE_AGE] = 0.0
    if row["device_hash"][0] != 0:
        out[F_DEVICE_NEW] = 1.0
        out[F_DEVICE_CHANGE] = 0.0


@njit(cache=True, nogil=True)
def counts_against(transaction: Any, row: Any, pair: Any, amount: Any) -> bool:
    """Whether a bad outcome with this payee still says something about a payment to it.

    It does for :data:`BLAME_S` after the account's last confirmed fraud. A thief who used the account at a shop says nothing
    about the shop: where a payment matured, a merchant or biller is not to blame. Nor is a person whom the account had paid
    for long, as long as the amount is within what it paid before: a groomer asks for more.
    """
    known = whole_seconds(row["fraud_last"])
    marked = np.int64(row["pair_marks"][pair]) & ADVERSE_PAIR != 0
    if not marked or known == 0 or whole_seconds(transaction["event_time"]) - known > BLAME_S:
        return False
    matured = np.int64(row["pair_matured"][pair])
    if transaction["payee_kind"] in (MERCHANT, BILLER, OWN):
        return matured == 0
    own = matured >= OWN_PAYMENTS and known - np.int64(row["pair_first"][pair]) >= OWN_S
    return not (own and amount <= OWN_BAND * np.float64(row["pair_max"][pair]))


@njit(cache=True, nogil=True)
def fill_pair(transaction: Any, row: Any, pair: Any, amount: Any, out: Any) -> float:
    """What the account's own history with this payee says; returns 1.0 where the payee is new to it."""
    seconds = whole_seconds(transaction["event_time"])
    payee = transaction["payee_hash"]
    new = 1.0 if payee != 0 and pair < 0 else 0.0
    out[F_NEW_PAYEES] = row["new_payees_day"] + new
    known = 0
    for i in range(PAIRS):
        if row["pair_matured"][i] > 0:
            known += 1
    out[F_KNOWN_PAYEES] = known
    out[F_PAIR_PAYMENTS] = 0.0
    out[F_PAIR_ATTEMPTS] = 0.0
    out[F_PAIR_AGE] = math.nan
    out[F_PAIR_IDLE] = math.nan
    out[F_PAIR_TO_MEAN] = math.nan
    out[F_PAIR_TO_MAX] = math.nan
    out[F_PAIR_CHANNEL] = 0.0
    out[F_PAIR_CLEARED] = 0.0
    out[F_PAIR_ADVERSE] = 0.0
    cleared = find(row["cleared_payee"], payee)
    if cleared >= 0 and seconds <= np.int64(row["cleared_until"][cleared]):
        out[F_PAIR_CLEARED] = 1.0 if amount <= row["cleared_max"][cleared] else 0.0
    if pair < 0:
        return new
    adverse = counts_against(transaction, row, pair, amount)
    out[F_PAIR_ADVERSE] = 1.0 if adverse else 0.0
    out[F_PAIR_ATTEMPTS] = row["pair_attempts"][pair]
    out[F_PAIR_AGE] = max(seconds - np.int64(row["pair_first"][pair]), 0) / 86_400.0
    out[F_PAIR_IDLE] = max(seconds - np.int64(row["pair_last"][pair]), 0) / 86_400.0
    if row["pair_matured"][pair] > 0 and not adverse:
        out[F_PAIR_PAYMENTS] = row["pair_matured"][pair]
        if row["pair_max"][pair] > 0.0:
            out[F_PAIR_TO_MEAN] = (1.0 + amount) / exp(np.float64(row["pair_mean"][pair]))
            out[F_PAIR_TO_MAX] = (1.0 + amount) / (1.0 + np.float64(row["pair_max"][pair]))
        out[F_PAIR_CHANNEL] = float(((row["pair_marks"][pair] & PAIR_CHANNELS) >> transaction["channel"]) & 1)
    return new
