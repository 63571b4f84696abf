"""The account row: what one account's history says about its next payment, and how the row learns from it.

A row is a fixed-size struct (:data:`ACCOUNT_ROW`); its bytes are its changelog record and its dump. One compiled
loop walks a batch in order: mature what is due, answer repeats, fill the features, then record the attempt. An
attempt counts at once in velocities; it becomes *normal* or *familiar* only when it matured without an adverse
outcome, so a thief's first payment does not teach the profile that thieves are normal.

All statistics are functions of the account's own records in their order and of nothing else: no clock, no model,
no policy, no batch boundary.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from stream.core.features import ACCOUNT_WIDTH, INDEX

SCHEMA_VERSION = 1
PAIRS = 40
PENDING = 16
RECENT = 16
DEVICES = 4
COUNTRIES = 4
CLEARED = 4
HOUR_BINS = 8
CHANNEL_BINS = 8

ACCOUNT_ROW = np.dtype(
    [
        ("schema", "u2"),
        ("recent_next", "u1"),
        ("pending_head", "u1"),
        ("pending_count", "u1"),
        ("cleared_next", "u1"),
        ("place_count", "u1"),
        ("reserved", "u1"),
        ("key", "S64"),
        ("first_seen", "i8"),  # µs
        ("last_seen", "i8"),  # µs
        ("attempts", "u4"),
        ("matured", "u4"),
        ("matured_early", "u4"),  # how often a full pending ring made the oldest mature before its time
        ("home_country", "u4"),
        ("countries", "u4", (COUNTRIES,)),
        # decayed to window_time; hour, day, week, month
        ("window_time", "i8"),  # µs
        ("counts", "f8", (4,)),
        ("sums", "f8", (4,)),
        ("new_payees_day", "f8"),
        ("slips_month", "f8"),
        ("failed_week", "f8"),
        ("frauds_month", "f8"),
        ("fraud_last", "i8"),  # µs, 0 never
        ("fraud_episode", "i8"),  # µs, 0 none
        # normal: matured payments only
        ("normal_time", "i8"),  # µs
        ("normal_mean", "f8"),  # of ln(1 + amount)
        ("normal_variance", "f8"),
        ("normal_max", "f8"),  # minor units
        ("normal_sum", "f8"),  # decayed with a month, to normal_time
        ("hours", "f4", (HOUR_BINS,)),
        ("channels", "f4", (CHANNEL_BINS,)),
        ("home_lat", "f4"),
        ("home_lon", "f4"),
        ("last_lat", "f4"),
        ("last_lon", "f4"),
        ("last_place_time", "i8"),  # µs, 0 never
        ("device_hash", "u8", (DEVICES,)),
        ("device_first", "u4", (DEVICES,)),  # s
        ("device_last", "u4", (DEVICES,)),  # s
        ("device_change", "i8"),  # µs, 0 never
        # known payees
        ("pair_payee", "u8", (PAIRS,)),
        ("pair_first", "u4", (PAIRS,)),  # s
        ("pair_last", "u4", (PAIRS,)),  # s
        ("pair_attempts", "u2", (PAIRS,)),
        ("pair_matured", "u2", (PAIRS,)),
        ("pair_mean", "f4", (PAIRS,)),  # of ln(1 + amount), matured
        ("pair_max", "f4", (PAIRS,)),  # minor units, matured
        ("pair_channels", "u1", (PAIRS,)),  # mask, matured
        ("pair_flags", "u1", (PAIRS,)),  # 1: adverse
        # cleared pairs: a genuine verdict or a passed challenge
        ("cleared_payee", "u8", (CLEARED,)),
        ("cleared_until", "u4", (CLEARED,)),  # s
        ("cleared_max", "f4", (CLEARED,)),  # minor units
        # attempts not yet matured, oldest first from pending_head
        ("pending_transaction", "u8", (PENDING,)),
        ("pending_payee", "u8", (PENDING,)),
        ("pending_time", "u4", (PENDING,)),  # s
        ("pending_amount", "f4", (PENDING,)),  # minor units
        ("pending_lat", "i2", (PENDING,)),  # degrees x 100, NO_PLACE where absent
        ("pending_lon", "i2", (PENDING,)),
        ("pending_channel", "u1", (PENDING,)),
        ("pending_state", "u1", (PENDING,)),  # OPEN, ADVERSE or DONE
        # the last transactions, for a producer's retries
        ("recent_transaction", "u8", (RECENT,)),
        ("recent_content", "u8", (RECENT,)),
    ]
)
"""One account. Packed; a change of this layout raises :data:`SCHEMA_VERSION`."""

DECIDED, DUPLICATE, CONFLICT = 0, 1, 2
ADVERSE_PAIR = 1
OPEN, ADVERSE, DONE = 0, 1, 2
NO_PLACE = -32768

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
EPISODE_US = 14 * DAY_US
"""A confirmed fraud this long after the one before starts a new run."""
CLEARED_S = 90 * 86_400
CLEARED_BAND = 1.5
"""A cleared pair covers amounts up to this multiple of the amount that was cleared."""

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
def _seconds(time_us):
    """µs as whole seconds, clipped into the row's unsigned 32 bits (1970 to 2106)."""
    return min(max(time_us // 1_000_000, 0), 4_294_967_295)


@njit(cache=True, nogil=True)
def _advance_windows(row, time_us):
    """Decay the row's windows to ``time_us``; a time that lies behind leaves them as they are."""
    elapsed = time_us - row["window_time"]
    if elapsed <= 0:
        return
    days = elapsed / DAY_US
    row["window_time"] = time_us
    day, week, month = math.exp(-days), math.exp(-days / 7.0), math.exp(-days / 30.0)
    counts, sums = row["counts"], row["sums"]
    hour = math.exp(-24.0 * days)
    counts[0] *= hour
    counts[1] *= day
    counts[2] *= week
    counts[3] *= month
    sums[0] *= hour
    sums[1] *= day
    sums[2] *= week
    sums[3] *= month
    row["new_payees_day"] *= day
    row["failed_week"] *= week
    row["slips_month"] *= month
    row["frauds_month"] *= month


@njit(cache=True, nogil=True)
def _find(table, wanted):
    """Position of a hash in one of the row's small tables, -1 where it is not."""
    if wanted != 0:
        for position in range(table.shape[0]):
            if table[position] == wanted:
                return position
    return -1


@njit(cache=True, nogil=True)
def _claim_pair(row, payee, seconds):
    """The payee's place among the known pairs; a new one takes an empty place, else that of the least familiar."""
    position = _find(row["pair_payee"], payee)
    if position >= 0:
        return position
    weakest, weakest_rank = 0, 1.0e300
    for candidate in range(PAIRS):
        if row["pair_payee"][candidate] == 0:
            weakest = candidate
            break
        # matured payments outrank any recency; an adverse pair is remembered like a familiar one
        rank = (
            1.0e10 * min(np.int64(row["pair_matured"][candidate]), 60_000)
            + 3.0e10 * np.int64(row["pair_flags"][candidate] & ADVERSE_PAIR)
            + np.int64(row["pair_last"][candidate])
        )
        if rank < weakest_rank:
            weakest, weakest_rank = candidate, rank
    row["pair_payee"][weakest] = payee
    row["pair_first"][weakest] = seconds
    row["pair_last"][weakest] = seconds
    row["pair_attempts"][weakest] = 0
    row["pair_matured"][weakest] = 0
    row["pair_mean"][weakest] = 0.0
    row["pair_max"][weakest] = 0.0
    row["pair_channels"][weakest] = 0
    row["pair_flags"][weakest] = 0
    return weakest


@njit(cache=True, nogil=True)
def _mature_pair(row, payee, seconds, amount, channel):
    """One more normal payment to a payee."""
    if payee == 0:
        return
    pair = _claim_pair(row, payee, seconds)
    matured = np.int64(row["pair_matured"][pair])
    logarithm = math.log(1.0 + amount)
    mean = float(row["pair_mean"][pair])
    row["pair_mean"][pair] = mean + (logarithm - mean) / min(matured + 1, 20)
    row["pair_max"][pair] = max(float(row["pair_max"][pair]), amount)
    row["pair_matured"][pair] = min(matured + 1, 65_535)
    row["pair_channels"][pair] |= 1 << channel


@njit(cache=True, nogil=True)
def _mature_amount(row, time_us, amount):
    """Own mean, deviation, maximum and usual outflow, with outliers pulled in to three deviations."""
    count = np.int64(row["matured"])
    logarithm = math.log(1.0 + amount)
    if count == 0:
        row["normal_mean"] = logarithm
        row["normal_variance"] = 0.5
        row["normal_max"] = amount
        row["normal_sum"] = amount
        row["normal_time"] = time_us
        return
    mean, variance = row["normal_mean"], row["normal_variance"]
    difference = logarithm - mean
    if count >= 10:
        reach = 3.0 * math.sqrt(variance)
        difference = min(max(difference, -reach), reach)
    weight = 1.0 / min(count + 1, 100)
    row["normal_mean"] = mean + weight * difference
    row["normal_variance"] = max((1.0 - weight) * (variance + weight * difference * difference), 1.0e-4)
    elapsed = max(time_us - row["normal_time"], 0) / DAY_US
    row["normal_time"] = max(time_us, row["normal_time"])
    # the maximum fades with a year, so that one car does not cover every amount for life
    row["normal_max"] = max(row["normal_max"] * math.exp(-elapsed / 365.0), amount)
    row["normal_sum"] = row["normal_sum"] * math.exp(-elapsed / 30.0) + amount


@njit(cache=True, nogil=True)
def _count_in(bins, position):
    """Count in a histogram whose past fades: at 200 counts everything is halved."""
    total = 0.0
    for i in range(bins.shape[0]):
        total += float(bins[i])
    if total >= 200.0:
        for i in range(bins.shape[0]):
            bins[i] = float(bins[i]) * 0.5
    bins[position] = float(bins[position]) + 1.0


@njit(cache=True, nogil=True)
def _mature_place(row, lat100, lon100):
    """Move home a little towards where a normal payment was made."""
    if lat100 == NO_PLACE:
        return
    lat, lon = lat100 / 100.0, lon100 / 100.0
    count = np.int64(row["place_count"])
    if count == 0:
        row["home_lat"] = lat
        row["home_lon"] = lon
    else:
        weight = 1.0 / min(count + 1, 30)
        east = lon - float(row["home_lon"])
        if east > 180.0:
            east -= 360.0
        if east < -180.0:
            east += 360.0
        row["home_lat"] = float(row["home_lat"]) + weight * (lat - float(row["home_lat"]))
        row["home_lon"] = float(row["home_lon"]) + weight * east
    row["place_count"] = min(count + 1, 255)


@njit(cache=True, nogil=True)
def _mature_entry(row, entry):
    """Let one pending payment become part of what is normal."""
    row["pending_state"][entry] = DONE
    seconds = np.int64(row["pending_time"][entry])
    amount = float(row["pending_amount"][entry])
    channel = np.int64(row["pending_channel"][entry])
    _mature_amount(row, seconds * 1_000_000, amount)
    _count_in(row["hours"], (seconds // 10_800) % HOUR_BINS)
    _count_in(row["channels"], channel)
    _mature_place(row, np.int64(row["pending_lat"][entry]), np.int64(row["pending_lon"][entry]))
    _mature_pair(row, row["pending_payee"][entry], seconds, amount, channel)
    row["matured"] = np.int64(row["matured"]) + 1


@njit(cache=True, nogil=True)
def _drop_oldest(row):
    """Take the oldest payment off the pending ring, as normal unless something else became of it."""
    head = np.int64(row["pending_head"])
    if row["pending_state"][head] == OPEN:
        _mature_entry(row, head)
    row["pending_head"] = (head + 1) % PENDING
    row["pending_count"] = np.int64(row["pending_count"]) - 1


@njit(cache=True, nogil=True)
def _mature_due(row, time_us, maturity_us):
    """Mature what is older than the maturity at this event's time."""
    while row["pending_count"] > 0:
        head = np.int64(row["pending_head"])
        if np.int64(row["pending_time"][head]) * 1_000_000 + maturity_us > time_us:
            return
        _drop_oldest(row)


@njit(cache=True, nogil=True)
def _repeat(row, transaction, content):
    """Whether a transaction id was among the last ones: DECIDED (new), DUPLICATE or CONFLICT."""
    position = _find(row["recent_transaction"], transaction)
    if position < 0:
        return DECIDED
    return DUPLICATE if row["recent_content"][position] == content else CONFLICT


@njit(cache=True, nogil=True)
def _distance_km(lat1, lon1, lat2, lon2):
    """Great-circle distance, haversine formula, mean Earth radius 6371 km."""
    to_radians = math.pi / 180.0
    north = math.sin((lat2 - lat1) * to_radians / 2.0)
    east = math.sin((lon2 - lon1) * to_radians / 2.0)
    h = north * north + math.cos(lat1 * to_radians) * math.cos(lat2 * to_radians) * east * east
    return 2.0 * 6371.0 * math.asin(math.sqrt(min(max(h, 0.0), 1.0)))


@njit(cache=True, nogil=True)
def _days_since(then_us, now_us):
    """Days from a remembered time to now; NaN where there is none, never negative."""
    if then_us == 0:
        return math.nan
    return max(now_us - then_us, 0) / DAY_US


@njit(cache=True, nogil=True)
def _fill_transaction(transaction, row, out):
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
def _fill_amount(row, time_us, amount, out):
    """How the amount compares with the account's own normal."""
    out[F_PAYMENTS] = row["matured"]
    out[F_TO_MEAN] = math.nan
    out[F_DEVIATION] = math.nan
    out[F_TO_MAX] = math.nan
    out[F_OUTFLOW] = math.nan
    out[F_RECENT_MEAN] = math.nan
    if row["matured"] == 0:
        return
    usual = math.exp(row["normal_mean"])
    logarithm = math.log(1.0 + amount)
    out[F_TO_MEAN] = (1.0 + amount) / usual
    # a few payments say little about the spread: shrink towards half an e-fold
    count = min(np.int64(row["matured"]), 30)
    variance = (row["normal_variance"] * count + 0.5 * 4.0) / (count + 4.0)
    out[F_DEVIATION] = (logarithm - row["normal_mean"]) / math.sqrt(variance)
    out[F_TO_MAX] = (1.0 + amount) / (1.0 + row["normal_max"])
    known_days = min(max((row["normal_time"] - row["first_seen"]) / DAY_US, 1.0), 30.0)
    faded = math.exp(-max(time_us - row["normal_time"], 0) / DAY_US / 30.0)
    usual_day = row["normal_sum"] * faded / known_days
    out[F_OUTFLOW] = (1.0 + row["sums"][1] + amount) / (1.0 + max(usual_day, usual))
    out[F_RECENT_MEAN] = (1.0 + (row["sums"][2] + amount) / (row["counts"][2] + 1.0)) / usual


@njit(cache=True, nogil=True)
def _fill_habits(transaction, row, out):
    """Velocities, hour, channel, what went wrong lately."""
    time_us = transaction["event_time"]
    amount = float(transaction["account_amount_minor"])
    out[F_AGE_DAYS] = _days_since(row["first_seen"], time_us) if row["attempts"] > 0 else 0.0
    for window in range(4):
        out[F_COUNTS + window] = row["counts"][window] + 1.0
        out[F_SUMS + window] = row["sums"][window] + amount
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
        total += float(row["hours"][i])
    for i in range(CHANNEL_BINS):
        channels += float(row["channels"][i])
    at = (time_us // (3 * HOUR_US)) % HOUR_BINS
    beside = float(row["hours"][(at + 1) % HOUR_BINS]) + float(row["hours"][(at + HOUR_BINS - 1) % HOUR_BINS])
    out[F_HOUR_SHARE] = (float(row["hours"][at]) + 0.5 * beside) / (2.0 * total)
    out[F_CHANNEL_SHARE] = float(row["channels"][transaction["channel"]]) / channels


@njit(cache=True, nogil=True)
def _fill_place(transaction, row, out):
    """Home, the last place, a country never seen."""
    lat, lon = transaction["lat"], transaction["lon"]
    out[F_HOME_KM] = math.nan
    out[F_SPEED] = math.nan
    if not math.isnan(lat) and not math.isnan(lon):
        if row["place_count"] > 0:
            out[F_HOME_KM] = _distance_km(float(row["home_lat"]), float(row["home_lon"]), lat, lon)
        if row["last_place_time"] != 0:
            apart = _distance_km(float(row["last_lat"]), float(row["last_lon"]), lat, lon)
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
def _fill_device(transaction, row, out):
    """Whether the device is new, how long it is known, when the account last changed."""
    time_us = transaction["event_time"]
    out[F_DEVICE_NEW] = 0.0
    out[F_DEVICE_AGE] = math.nan
    out[F_DEVICE_CHANGE] = _days_since(row["device_change"], time_us)
    if transaction["device_hash"] == 0:
        return
    position = _find(row["device_hash"], transaction["device_hash"])
    if position >= 0:
        out[F_DEVICE_AGE] = max(time_us // 1_000_000 - np.int64(row["device_first"][position]), 0) / 86_400.0
        return
    out[F_DEVICE_AGE] = 0.0
    if row["device_hash"][0] != 0:
        out[F_DEVICE_NEW] = 1.0
        out[F_DEVICE_CHANGE] = 0.0


@njit(cache=True, nogil=True)
def _fill_pair(transaction, row, pair, out):
    """What the account's own history with this payee says; returns 1.0 where the payee is new to it."""
    seconds = _seconds(transaction["event_time"])
    amount = float(transaction["account_amount_minor"])
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
    cleared = _find(row["cleared_payee"], payee)
    if cleared >= 0 and seconds <= np.int64(row["cleared_until"][cleared]):
        out[F_PAIR_CLEARED] = 1.0 if amount <= float(row["cleared_max"][cleared]) else 0.0
    if pair < 0:
        return new
    out[F_PAIR_PAYMENTS] = row["pair_matured"][pair]
    out[F_PAIR_ATTEMPTS] = row["pair_attempts"][pair]
    out[F_PAIR_AGE] = max(seconds - np.int64(row["pair_first"][pair]), 0) / 86_400.0
    out[F_PAIR_IDLE] = max(seconds - np.int64(row["pair_last"][pair]), 0) / 86_400.0
    out[F_PAIR_ADVERSE] = float(row["pair_flags"][pair] & ADVERSE_PAIR)
    if row["pair_matured"][pair] > 0:
        out[F_PAIR_TO_MEAN] = (1.0 + amount) / math.exp(float(row["pair_mean"][pair]))
        out[F_PAIR_TO_MAX] = (1.0 + amount) / (1.0 + float(row["pair_max"][pair]))
        out[F_PAIR_CHANNEL] = float((row["pair_channels"][pair] >> transaction["channel"]) & 1)
    return new


@njit(cache=True, nogil=True)
def _see_device(row, device, seconds, time_us):
    """Remember a device; the one unused for longest makes room."""
    if device == 0:
        return
    position = _find(row["device_hash"], device)
    if position < 0:
        if row["device_hash"][0] != 0:
            row["device_change"] = time_us
        position = 0
        for i in range(DEVICES):
            if row["device_hash"][i] == 0:
                position = i
                break
            if row["device_last"][i] < row["device_last"][position]:
                position = i
        row["device_hash"][position] = device
        row["device_first"][position] = seconds
    row["device_last"][position] = seconds


@njit(cache=True, nogil=True)
def _see_place(transaction, row):
    """Remember the last place and the countries seen, the first of which is taken for home."""
    if not math.isnan(transaction["lat"]) and not math.isnan(transaction["lon"]):
        row["last_lat"] = transaction["lat"]
        row["last_lon"] = transaction["lon"]
        row["last_place_time"] = transaction["event_time"]
    country = transaction["country"]
    if country == 0:
        return
    if row["home_country"] == 0:
        row["home_country"] = country
    for i in range(COUNTRIES):
        if row["countries"][i] == country:
            return
        if row["countries"][i] == 0:
            row["countries"][i] = country
            return
    # the first stays: it is home; the others make room in turn
    for i in range(1, COUNTRIES - 1):
        row["countries"][i] = row["countries"][i + 1]
    row["countries"][COUNTRIES - 1] = country


@njit(cache=True, nogil=True)
def _push_pending(transaction, row, seconds):
    """Keep the attempt until it matures; a full ring lets the oldest mature early, and counts that."""
    if row["pending_count"] == PENDING:
        row["matured_early"] = np.int64(row["matured_early"]) + 1
        _drop_oldest(row)
    entry = (np.int64(row["pending_head"]) + np.int64(row["pending_count"])) % PENDING
    row["pending_transaction"][entry] = transaction["transaction_hash"]
    row["pending_payee"][entry] = transaction["payee_hash"]
    row["pending_time"][entry] = seconds
    row["pending_amount"][entry] = float(transaction["account_amount_minor"])
    placed = not math.isnan(transaction["lat"]) and not math.isnan(transaction["lon"])
    row["pending_lat"][entry] = int(math.floor(transaction["lat"] * 100.0 + 0.5)) if placed else NO_PLACE
    row["pending_lon"][entry] = int(math.floor(transaction["lon"] * 100.0 + 0.5)) if placed else NO_PLACE
    row["pending_channel"][entry] = transaction["channel"]
    row["pending_state"][entry] = OPEN
    row["pending_count"] = np.int64(row["pending_count"]) + 1


@njit(cache=True, nogil=True)
def _record_attempt(transaction, row, new_payee):
    """Count the attempt at once; what it teaches waits in the pending ring."""
    time_us = transaction["event_time"]
    seconds = _seconds(time_us)
    amount = float(transaction["account_amount_minor"])
    behind = max(row["window_time"] - time_us, 0) / DAY_US
    for window, days in enumerate((1.0 / 24.0, 1.0, 7.0, 30.0)):
        weight = math.exp(-behind / days) if behind > 0.0 else 1.0
        row["counts"][window] += weight
        row["sums"][window] += weight * amount
    row["new_payees_day"] += new_payee
    row["slips_month"] += transaction["slip_count"]
    payee = transaction["payee_hash"]
    if payee != 0:
        pair = _claim_pair(row, payee, seconds)
        row["pair_attempts"][pair] = min(np.int64(row["pair_attempts"][pair]) + 1, 65_535)
        row["pair_last"][pair] = max(np.int64(row["pair_last"][pair]), seconds)
    _see_device(row, transaction["device_hash"], seconds, time_us)
    _see_place(transaction, row)
    if amount > 0.0:  # a card verification teaches nothing about amounts
        _push_pending(transaction, row, seconds)
    if row["attempts"] == 0 or time_us < row["first_seen"]:
        row["first_seen"] = time_us
    row["last_seen"] = max(row["last_seen"], time_us) if row["attempts"] > 0 else time_us
    row["attempts"] = np.int64(row["attempts"]) + 1
    position = np.int64(row["recent_next"])
    row["recent_transaction"][position] = transaction["transaction_hash"]
    row["recent_content"][position] = transaction["content_hash"]
    row["recent_next"] = (position + 1) % RECENT


@njit(cache=True, nogil=True)
def profile(rows, transactions, slots, maturity_us, lateness_us, highest, features, status, late):
    """Walk a batch of transactions in order: features out, rows updated.

    Parameters
    ----------
    rows : ACCOUNT_ROW[capacity]
        Updated in place.
    transactions : columns.TRANSACTION[n]
    slots : int64[n]
        Row of each transaction's account.
    maturity_us, lateness_us : int
        Settings, µs.
    highest : int64[1]
        The partition's highest event time so far, µs; updated in place.
    features : float64[n, >= ACCOUNT_WIDTH]
        Filled where the status is DECIDED.
    status : uint8[n]
        DECIDED, DUPLICATE or CONFLICT.
    late : uint8[n]
        1 where the event is further behind than the lateness bound.
    """
    for i in range(transactions.shape[0]):
        transaction = transactions[i]
        row = rows[slots[i]]
        status[i] = _repeat(row, transaction["transaction_hash"], transaction["content_hash"])
        late[i] = 0
        if status[i] != DECIDED:
            continue
        time_us = transaction["event_time"]
        late[i] = 1 if time_us < highest[0] - lateness_us else 0
        highest[0] = max(highest[0], time_us)
        _mature_due(row, time_us, maturity_us)
        _advance_windows(row, time_us)
        out = features[i]
        pair = _find(row["pair_payee"], transaction["payee_hash"])
        _fill_transaction(transaction, row, out)
        _fill_amount(row, time_us, float(transaction["account_amount_minor"]), out)
        _fill_habits(transaction, row, out)
        _fill_place(transaction, row, out)
        _fill_device(transaction, row, out)
        new_payee = _fill_pair(transaction, row, pair, out)
        _record_attempt(transaction, row, new_payee)


@njit(cache=True, nogil=True)
def _find_pending(row, transaction):
    """The pending entry of a transaction that has not matured, -1 where there is none."""
    for i in range(np.int64(row["pending_count"])):
        entry = (np.int64(row["pending_head"]) + i) % PENDING
        if row["pending_transaction"][entry] == transaction:
            return entry
    return -1


@njit(cache=True, nogil=True)
def _on_fraud(row, entry, payee, time_us):
    """A confirmed fraud: the pair loses its history, the account remembers, the payment never matures."""
    if entry >= 0:
        if row["pending_state"][entry] == ADVERSE:
            return  # a chargeback after a reviewer's verdict is the same fraud
        row["pending_state"][entry] = ADVERSE
    _advance_windows(row, time_us)
    row["frauds_month"] += 1.0
    if row["fraud_last"] == 0 or time_us - row["fraud_last"] > EPISODE_US:
        row["fraud_episode"] = time_us
    row["fraud_last"] = max(row["fraud_last"], time_us)
    cleared = _find(row["cleared_payee"], payee)
    if cleared >= 0:
        row["cleared_until"][cleared] = 0
    if payee != 0:
        pair = _claim_pair(row, payee, _seconds(time_us))
        row["pair_flags"][pair] |= ADVERSE_PAIR
        row["pair_matured"][pair] = 0


@njit(cache=True, nogil=True)
def _clear_pair(row, payee, amount, time_us):
    """Remember that this payee, up to this amount band, was checked and found genuine."""
    if payee == 0:
        return
    position = _find(row["cleared_payee"], payee)
    if position < 0:
        position = np.int64(row["cleared_next"])
        row["cleared_next"] = (position + 1) % CLEARED
        row["cleared_max"][position] = 0.0
    row["cleared_payee"][position] = payee
    row["cleared_until"][position] = min(_seconds(time_us) + CLEARED_S, 4_294_967_295)
    row["cleared_max"][position] = max(float(row["cleared_max"][position]), CLEARED_BAND * amount)


REVIEW, CHARGEBACK, COMPLAINT, CHALLENGE_RESULT, SUPPLIED = 0, 1, 2, 3, 4
GENUINE, FRAUD, INCONCLUSIVE, PASSED, FAILED = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True)
def learn_outcomes(rows, feedback, slots, resolved_payee, event_time):
    """Apply feedback in order to the rows of its accounts.

    Parameters
    ----------
    rows : ACCOUNT_ROW[capacity]
    feedback : columns.FEEDBACK[n]
    slots : int64[n]
        Row of each record's account, -1 where the account is not known (then only forwarded).
    resolved_payee : uint64[n]
        Out: the payee's hash, from the record or from the pending payment it speaks of; 0 unknown.
    event_time : int64[n]
        Out: µs of the payment it speaks of where that is still pending, else 0.
    """
    for i in range(feedback.shape[0]):
        record = feedback[i]
        payee = record["payee_hash"]
        event_time[i] = 0
        if slots[i] >= 0:
            row = rows[slots[i]]
            entry = _find_pending(row, record["transaction_hash"])
            amount = 0.0
            if entry >= 0:
                payee = row["pending_payee"][entry]
                amount = float(row["pending_amount"][entry])
                event_time[i] = np.int64(row["pending_time"][entry]) * 1_000_000
            _apply_outcome(row, record, entry, payee, amount)
        resolved_payee[i] = payee


@njit(cache=True, nogil=True)
def _apply_outcome(row, record, entry, payee, amount):
    """What one feedback record does to the row it speaks of."""
    time_us, verdict = record["occurred_at"], record["verdict"]
    if verdict == FRAUD:
        _on_fraud(row, entry, payee, time_us)
    elif verdict == GENUINE:
        _clear_pair(row, payee, amount, time_us)
        if entry >= 0 and row["pending_state"][entry] != DONE:
            _mature_entry(row, entry)
        pair = _find(row["pair_payee"], payee)
        if pair >= 0 and record["kind"] == REVIEW:
            row["pair_flags"][pair] &= ~ADVERSE_PAIR & 0xFF
    elif verdict == PASSED and record["kind"] == CHALLENGE_RESULT:
        _clear_pair(row, payee, amount, time_us)
    elif verdict == FAILED and record["kind"] == CHALLENGE_RESULT:
        _advance_windows(row, time_us)
        row["failed_week"] += 1.0
        if entry >= 0 and row["pending_state"][entry] == OPEN:
            row["pending_state"][entry] = ADVERSE
