package riskstream.benchmarks;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Reads a transaction's three fields and writes a decision. */
interface Codec {
  /** What the job needs of a transaction; the ids are UTF-8. */
  record Transaction(byte[] id, byte[] account, long amountMinor) {}

  Transaction read(byte[] json);

  byte[] write(Transaction transaction, long count, long sum);

  static Codec named(String name) {
    return switch (name) {
      case "jackson" -> new Jackson();
      case "bytes" -> new Bytes();
      default -> throw new IllegalArgumentException("codec " + name + ": expected jackson or bytes");
    };
  }

  /** Jackson's tree model, as most programs would have it. */
  final class Jackson implements Codec {
    private final ObjectMapper mapper = new ObjectMapper();

    @Override
    public Transaction read(byte[] json) {
      try {
        JsonNode tree = mapper.readTree(json);
        return new Transaction(
            tree.get("transaction_id").textValue().getBytes(StandardCharsets.UTF_8),
            tree.get("account_id").textValue().getBytes(StandardCharsets.UTF_8),
            tree.get("amount_minor").longValue());
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }

    @Override
    public byte[] write(Transaction transaction, long count, long sum) {
      ObjectNode decision = mapper.createObjectNode();
      decision.put("transaction_id", new String(transaction.id(), StandardCharsets.UTF_8));
      decision.put("account_id", new String(transaction.account(), StandardCharsets.UTF_8));
      decision.put("outcome", transaction.amountMinor() > 1_000_000 ? "review" : "approve");
      decision.put("count", count);
      decision.put("sum_minor", sum);
      try {
        return mapper.writeValueAsBytes(decision);
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }
  }

  /**
   * Finds the three fields by their names in the bytes: the least that can be done. It trusts its input (no nested
   * field of the same name, no escapes in ids) and validates nothing, so it is a bound, not a parser.
   */
  final class Bytes implements Codec {
    private static final byte[] ID = "\"transaction_id\":\"".getBytes(StandardCharsets.UTF_8);
    private static final byte[] ACCOUNT = "\"account_id\":\"".getBytes(StandardCharsets.UTF_8);
    private static final byte[] AMOUNT = "\"amount_minor\":".getBytes(StandardCharsets.UTF_8);

    @Override
    public Transaction read(byte[] json) {
      int amount = after(json, AMOUNT);
      long minor = 0;
      while (json[amount] >= '0' && json[amount] <= '9') {
        minor = minor * 10 + json[amount++] - '0';
      }
      return new Transaction(text(json, after(json, ID)), text(json, after(json, ACCOUNT)), minor);
    }

    @Override
    public byte[] write(Transaction transaction, long count, long sum) {
      String outcome = transaction.amountMinor() > 1_000_000 ? "review" : "approve";
      StringBuilder decision = new StringBuilder(160);
      decision.append("{\"transaction_id\":\"").append(new String(transaction.id(), StandardCharsets.ISO_8859_1));
      decision.append("\",\"account_id\":\"").append(new String(transaction.account(), StandardCharsets.ISO_8859_1));
      decision.append("\",\"outcome\":\"").append(outcome).append("\",\"count\":").append(count);
      decision.append(",\"sum_minor\":").append(sum).append('}');
      return decision.toString().getBytes(StandardCharsets.ISO_8859_1);
    }

    private static byte[] text(byte[] json, int start) {
      int end = start;
      while (json[end] != '"') {
        end++;
      }
      return Arrays.copyOfRange(json, start, end);
    }

    private static int after(byte[] json, byte[] name) {
      search:
      for (int at = 0; at <= json.length - name.length; at++) {
        for (int k = 0; k < name.length; k++) {
          if (json[at + k] != name[k]) {
            continue search;
          }
        }
        return at + name.length;
      }
      throw new IllegalArgumentException("a transaction without " + new String(name, StandardCharsets.UTF_8));
    }
  }
}
