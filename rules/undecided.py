"""What is told about a payment that nothing has looked at, because deciding itself failed.

Apart from ``reasons.py``, which may be what failed: nothing of the payment enters but the times of a hold.
"""

from __future__ import annotations

from rules.ladder import APPROVE, REVIEW, RUNGS
from rules.pack import LANGUAGES
from rules.phrases import texts
from rules.reasons import moment


def undecided_reasons(rung: int, expires_at: int | None, on_expiry: str) -> dict[str, dict[str, str]] | None:
    """Both texts in both languages; None on approve.

    Parameters
    ----------
    rung
        What the policy declares, an index into :data:`rules.ladder.RUNGS`.
    expires_at, on_expiry
        Of a review: its end in µs since the epoch, and what becomes of the payment then.

    >>> undecided_reasons(2, None, "release")["customer"]["en"]
    'We could not check this payment in full. Please confirm it in your banking app.'
    """
    if rung == APPROVE:
        return None
    customer, reviewer = {}, {}
    for language in LANGUAGES:
        text = texts(language)
        own = text["undecided"]
        sentence = own["customer"][RUNGS[rung]]
        if rung == REVIEW:
            ending = text["customer"]["ending"][on_expiry]
            sentence = sentence.format(expires=moment(expires_at, language), ending=ending)
        customer[language] = sentence
        reviewer[language] = own["reviewer"].format(outcome=text["outcomes"][RUNGS[rung]])
    return {"customer": customer, "reviewer": reviewer}
