package riskstream.benchmarks;

import java.nio.ByteBuffer;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The benchmarks' trivial job on Kafka Streams: count and sum of each account in RocksDB with a changelog, a decision
 * for every transaction. One stream thread, Kafka Streams' own defaults but for what is set below.
 *
 * <p>Arguments: BOOTSTRAP INPUT OUTPUT APPLICATION_ID GUARANTEE STATE_DIRECTORY CODEC, where GUARANTEE is
 * at_least_once or exactly_once_v2 and CODEC is jackson or bytes.
 */
public final class TrivialJob {
  private static final String STORE = "accounts";

  private TrivialJob() {}

  /** Count and sum of the account, then the decision. */
  private static final class Decide implements Processor<byte[], byte[], byte[], byte[]> {
    private final Codec codec;
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], byte[]> accounts;

    Decide(Codec codec) {
      this.codec = codec;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
      this.context = context;
      this.accounts = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      Codec.Transaction transaction = codec.read(record.value());
      byte[] stored = accounts.get(transaction.account());
      long count = 1;
      long sum = transaction.amountMinor();
      if (stored != null) {
        ByteBuffer row = ByteBuffer.wrap(stored);
        count += row.getLong();
        sum += row.getLong();
      }
      accounts.put(transaction.account(), ByteBuffer.allocate(16).putLong(count).putLong(sum).array());
      context.forward(record.withValue(codec.write(transaction, count, sum)));
    }
  }

  private static Topology topology(String input, String output, String codec) {
    Topology topology = new Topology();
    topology.addSource("transactions", input);
    topology.addProcessor("decide", () -> new Decide(Codec.named(codec)), "transactions");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(
                Stores.persistentKeyValueStore(STORE), Serdes.ByteArray(), Serdes.ByteArray())
            .withCachingEnabled(),
        "decide");
    topology.addSink("decisions", output, "decide");
    return topology;
  }

  private static Properties settings(String[] arguments) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[3]);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, arguments[4]);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[5]);
    settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
    settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    // The compression of all engines here; Kafka Streams' default would be none.
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
    return settings;
  }

  public static void main(String[] arguments) throws InterruptedException {
    if (arguments.length != 7) {
      System.err.println("BOOTSTRAP INPUT OUTPUT APPLICATION_ID GUARANTEE STATE_DIRECTORY CODEC");
      System.exit(2);
    }
    Topology topology = topology(arguments[1], arguments[2], arguments[6]);
    KafkaStreams streams = new KafkaStreams(topology, settings(arguments));
    CountDownLatch ended = new CountDownLatch(1);
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.ERROR || now == KafkaStreams.State.NOT_RUNNING) {
            ended.countDown();
          }
        });
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
    ended.await();
  }
}
