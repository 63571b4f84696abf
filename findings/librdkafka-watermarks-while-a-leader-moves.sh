#!/bin/sh
# A consumer asks for a partition's low and high watermark while its leader moves: one of the two requests behind the call
# is answered NOT_LEADER_FOR_PARTITION.
#
# Guess: get_watermark_offsets raises the error, or asks again and returns (0, 5).
# Behaviour: it returns (5, 5): the answer of the other request for both, and no error. A log of five records looks as if
# all of them had been deleted. Other errors (leader epoch, time-out) are passed over in the same way.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet confluent-kafka==2.16.1
"$folder/venv/bin/python" - <<'PY'
import ctypes, pathlib, sys
import confluent_kafka
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

print("guess: an error, or (0, 5)")
print("confluent-kafka", confluent_kafka.version(), "librdkafka", confluent_kafka.libversion()[0])
folder = pathlib.Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
rd = ctypes.CDLL(str(next(folder.glob("librdkafka*"))))
pointer, text = ctypes.c_void_p, ctypes.c_char_p
rd.rd_kafka_conf_new.restype = rd.rd_kafka_new.restype = rd.rd_kafka_mock_cluster_new.restype = pointer
rd.rd_kafka_new.argtypes = [ctypes.c_int, pointer, text, ctypes.c_size_t]
rd.rd_kafka_mock_cluster_new.argtypes = [pointer, ctypes.c_int]
rd.rd_kafka_mock_cluster_bootstraps.restype, rd.rd_kafka_mock_cluster_bootstraps.argtypes = text, [pointer]
rd.rd_kafka_mock_push_request_errors_array.restype = None
rd.rd_kafka_mock_push_request_errors_array.argtypes = [pointer, ctypes.c_int16, ctypes.c_size_t, pointer]
client = rd.rd_kafka_new(0, rd.rd_kafka_conf_new(), ctypes.create_string_buffer(512), 512)
cluster = rd.rd_kafka_mock_cluster_new(client, 1)
broker = rd.rd_kafka_mock_cluster_bootstraps(cluster).decode()
producer = Producer({"bootstrap.servers": broker})
for number in range(5):
    producer.produce("t", b"x", partition=0)
producer.flush(30)
LIST_OFFSETS, NOT_LEADER_FOR_PARTITION = 2, 6
consumer = Consumer({"bootstrap.servers": broker, "group.id": "g"})
rd.rd_kafka_mock_push_request_errors_array(cluster, LIST_OFFSETS, 1, (ctypes.c_int * 1)(NOT_LEADER_FOR_PARTITION))
try:
    first = consumer.get_watermark_offsets(TopicPartition("t", 0), 10)
except KafkaException as error:
    first = error
print("while the leader moves:", first)
print("afterwards:", consumer.get_watermark_offsets(TopicPartition("t", 0), 10))
sys.exit(0 if first == (5, 5) else 1)
PY
