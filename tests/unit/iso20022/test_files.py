"""Messages in files: ``iso20022 convert``, and ``.xml`` as a history."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from iso20022_messages import UETR, pacs_008, sample, transfer

from stream.cli import riskstream
from stream.errors import UsageError
from stream.replay.source.map_proposal import propose
from stream.replay.source.sources import open_source

BAD = transfer(
    ids="<EndToEndId>E</EndToEndId><TxId>T-2</TxId>", amount='<IntrBkSttlmAmt Ccy="JPY">1.5</IntrBkSttlmAmt>'
)


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text("a key of tests, of no bank\n")
    monkeypatch.setenv("RISKSTREAM_HASH_KEY_FILE", str(file))


def convert(*arguments: object) -> Result:
    return CliRunner().invoke(riskstream, ["iso20022", "convert", *map(str, arguments)])


@pytest.mark.usefixtures("key")
def test_every_file_is_converted_though_one_cannot_be_read(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.xml", "cut.xml", "none.xml", "b.xml")]
    files[0].write_text(pacs_008(transfer() + BAD))
    files[1].write_bytes(sample("pacs.008.max")[:-100])
    files[3].write_bytes(sample("pain.001.min"))
    result = convert(*files, "--out", tmp_path / "out.jsonl", "--json")
    assert result.exit_code == 1
    records = [orjson.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [record["transaction_id"] for record in records] == [UETR, "00000000-0000-4000-ba0a-0e675b020d75"]
    path = "/Document/FIToFICstmrCdtTrf/CdtTrfTxInf[2]/IntrBkSttlmAmt"
    assert f"a.xml:1: out_of_range: pacs.008.001.08, transaction 2, {path}: 1 decimals; JPY has 0" in result.stderr
    assert "cut.xml: malformed: document: not XML that can be read" in result.stderr
    assert "none.xml: document: unreadable: No such file or directory" in result.stderr
    assert orjson.loads(result.stdout.splitlines()[-1]) == {
        "files": 4, "transactions": 2, "feedback": 0, "refused": 3,
        "refused_by_reason": {"malformed": 1, "out_of_range": 1, "unreadable": 1},
    }  # fmt: skip


@pytest.mark.usefixtures("key")
def test_without_out_records_go_to_standard_output(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(pacs_008(transfer()))
    result = convert(tmp_path / "a.xml")
    assert result.exit_code == 0
    assert [orjson.loads(line)["transaction_id"] for line in result.stdout.splitlines()] == [UETR]


@pytest.mark.usefixtures("key")
def test_a_file_is_not_written_over_by_its_own_records(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(pacs_008(transfer()))
    result = convert(tmp_path / "a.xml", "--out", tmp_path / "a.xml")
    assert isinstance(result.exception, UsageError)
    assert (tmp_path / "a.xml").read_text() == pacs_008(transfer())


def test_without_a_key_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RISKSTREAM_HASH_KEY_FILE", raising=False)
    (tmp_path / "a.xml").write_text(pacs_008(transfer()))
    result = convert(tmp_path / "a.xml")
    assert isinstance(result.exception, UsageError)
    assert "RISKSTREAM_HASH_KEY_FILE" in str(result.exception)


@pytest.mark.usefixtures("key")
def test_a_history_of_messages_is_the_records_that_convert_writes(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text(pacs_008(transfer() + "\n" + BAD))
    (chunk,) = open_source(file).chunks()
    assert chunk.accepted_values == convert(file).stdout_bytes.splitlines()
    (refused,) = chunk.decoded.refused
    assert (refused.reason, refused.index) == ("out_of_range", 1)
    assert refused.message.startswith("pacs.008.001.08, transaction 2, /Document/")
    assert chunk.lines is not None
    assert chunk.lines.tolist() == [1, 2]


@pytest.mark.usefixtures("key")
def test_a_map_of_messages_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text(pacs_008(transfer()))
    with pytest.raises(UsageError, match="need no map"):
        propose(file)
