#!/bin/sh
# A topic with one replica and min.insync.replicas=2, as it comes about where an administrator sets the second and forgets
# the first: what does a producer with acks=all meet?
#
# Guess: NOT_ENOUGH_REPLICAS for every record, since two replicas can never be in sync; the mistake is seen with the first.
# Behaviour: the broker takes the smaller of the two numbers. Each record is acknowledged with one copy, and the topic's
# own configuration goes on to say 2. (Apache Kafka says so since KAFKA-21110; the setting's text does not in this version.)
set -eu
folder=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || kill "$broker" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
cat > "$folder/pom.xml" <<'POM'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId><artifactId>finding</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.1.1</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
mvn -B -q -f "$folder/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory="$folder/jars"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet confluent-kafka==2.16.1
set -- $(python3 -c 'import socket
taken = [socket.socket() for _ in range(2)]
for one in taken: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in taken))')
cat > "$folder/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$2
listeners=PLAINTEXT://127.0.0.1:$1,CONTROLLER://127.0.0.1:$2
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$folder/log
offsets.topic.replication.factor=1
PROPERTIES
java -cp "$folder/jars/*" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c "$folder/server.properties" > /dev/null
java -Xmx256m -cp "$folder/jars/*" kafka.Kafka "$folder/server.properties" > "$folder/broker.log" 2>&1 &
broker=$!
"$folder/venv/bin/python" - "127.0.0.1:$1" <<'PY'
import sys
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

print("guess: NOT_ENOUGH_REPLICAS for every record")
admin = AdminClient({"bootstrap.servers": sys.argv[1], "log_level": 0})
admin.list_topics(timeout=60)
topic = NewTopic("t", 1, 1, config={"min.insync.replicas": "2"})
admin.create_topics([topic], request_timeout=60)["t"].result()
said = []
producer = Producer({"bootstrap.servers": sys.argv[1], "acks": "all", "delivery.timeout.ms": 10_000, "log_level": 0})
producer.produce("t", b"x", on_delivery=lambda error, message: said.append(error.name() if error else "acknowledged"))
producer.flush(30)
resource = ConfigResource("TOPIC", "t")
configured = admin.describe_configs([resource])[resource].result()["min.insync.replicas"].value
print("Apache Kafka 4.1.1: one replica, min.insync.replicas", configured, "->", *said)
sys.exit(0 if said == ["acknowledged"] and configured == "2" else 1)
PY
