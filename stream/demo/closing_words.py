"""What a demonstration amounts to, in words a person can repeat, in Chinese and English."""

from __future__ import annotations

from stream.demo.demonstration import Demonstration
from stream.demo.story import Story


def meaning(shown: Demonstration) -> list[str]:
    """What the numbers mean, a sentence in each language; nothing where nothing was decided."""
    board = shown.board
    frauds = board.caught + board.missed
    if not board.genuine:
        return []
    per_10k = board.touched_per_10k
    return [
        f"In words: {board.caught} of {frauds} frauds were stopped; of 10,000 genuine payments {per_10k:.0f} were asked about, "
        f"held or declined, the others passed unnoticed.",
        f"也就是说：{frauds} 笔欺诈拦下 {board.caught} 笔；每 10,000 笔正常付款中有 {per_10k:.0f} 笔被核验、暂缓或拒绝，其余付款客户毫无察觉。",
    ]


def past_words(shown: Demonstration) -> list[str]:
    """What the bank had lived through before; what is different where it had not."""
    past = shown.past
    if past is not None:
        learned = "" if past.learned else "; the learner had not read all of it"
        return [
            f"Before: {shown.plan.history_days} days of the bank's life in {past.seconds:.0f} s, {past.events:,} transactions, "
            f"{past.frauds} frauds among them, {past.models} models{learned}"
        ]
    if shown.plan.history_days:
        return ["The bank's past was not over."]
    return ["The line began cold: it knew nobody. Without --cold the bank lives 60 days first."]


def story_lines(story: Story | None) -> list[str]:
    """One alert, from the payment to the model that has learned from it; as far as it came."""
    if story is None:
        return []
    decision = story.alert["decision"]
    told = (decision["reasons"] or {}).get("reviewer", {})
    lines = [
        f"One alert, followed 追踪一条警报 ({story.attack})",
        f"  payment 付款  {decision['transaction_id']}, {_moment(decision['event_time'])}: {decision['outcome']}, "
        f"risk {decision['risk_ppm'] / 10_000:.1f} %, by model {decision['model_version']}",
        *(f"  reason 原因   {told[language]}" for language in ("zh", "en") if language in told),
    ]
    if story.label is None:
        return [*lines, "  verdict 裁定  none yet: disputes come five simulated days later"]
    lines.append(
        f"  verdict 裁定  {story.label['kind']}: {story.label['verdict']}, feedback {story.label['feedback_id']}"
    )
    learned = f"{story.model} has learned from it" if story.model else "the next one learns from it"
    return [*lines, f"  model 模型    {learned}"]


def _moment(event_time: str) -> str:
    return event_time[:16].replace("T", " ") + " UTC"
