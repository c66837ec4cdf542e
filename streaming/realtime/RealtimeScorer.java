import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.spark.SparkFiles;
import org.apache.spark.TaskContext;
import org.apache.spark.TaskKilledException;
import org.apache.spark.api.python.PythonUtils;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.api.java.UDF3;
import org.apache.spark.sql.expressions.UserDefinedFunction;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.types.DataType;

/**
 * Spark's side of the real-time mode: a column function that sends an encoded image to a Python process and returns the
 * result. Real-time mode itself runs no Python code.
 *
 * The first call in an executor starts the scorers (streaming/realtime/scorer.py); they end when the executor ends.
 * Each image has its own connection, so a scorer that died or was replaced leaves no state behind. Janino, Spark's
 * expression compiler, compiles this file when a stream starts; it supports neither generics nor lambdas.
 */
public class RealtimeScorer implements UDF3 {
    private static final long serialVersionUID = 1L;
    private static final long PATIENCE_NANOS = 20L * 1000 * 1000 * 1000;
    private static final long PAUSE_MILLIS = 20;
    private static final int MAX_DEATHS = 2;

    private static String key;
    private static Process scorers;
    private static String socket;

    private final String[] command;
    private final String[] environment;
    private final String model;

    /**
     * @param command starts the scorers; the path of the model is appended
     * @param environment environment variables of the scorers: alternating names and values
     * @param model an absolute path on this machine, or the name of a file that was added to the Spark context
     */
    public RealtimeScorer(String[] command, String[] environment, String model) {
        this.command = command;
        this.environment = environment;
        this.model = model;
    }

    /** Returns this as a function that Spark evaluates once per row, not again for each field of its result. */
    public UserDefinedFunction asFunction(DataType type) {
        return functions.udf(this, type).asNondeterministic();
    }

    /** Returns the result as a row of `ANSWER` in streaming/realtime/function.py. */
    public Object call(Object payload, Object contentType, Object specVersion) throws Exception {
        byte[] request = request((byte[]) payload, (String) contentType, (String) specVersion);
        String number = TaskContext.get().getLocalProperty("streaming.sql.batchId");
        Long batch = number == null ? null : Long.valueOf(number);
        long deadline = System.nanoTime() + PATIENCE_NANOS;
        int deaths = 0;
        while (true) {
            boolean asked = false;
            SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
            try {
                channel.connect(UnixDomainSocketAddress.of(address()));
                ByteBuffer left = ByteBuffer.wrap(request);
                while (left.hasRemaining()) {
                    channel.write(left);
                }
                asked = true;
                return answer(new DataInputStream(Channels.newInputStream(channel)), batch);
            } catch (IOException error) {
                if (Thread.currentThread().isInterrupted() || TaskContext.get().isInterrupted()) {
                    throw new TaskKilledException("the stream is being stopped");
                }
                if (asked) {
                    deaths++;
                }
                if (deaths == MAX_DEATHS) {
                    String detail = "the scorer ended " + deaths + " times while it had this image";
                    return row(batch, null, null, Instant.now(), null, null, null, null, "model_error", detail);
                }
                if (System.nanoTime() > deadline) {
                    throw new IOException("no scorer answers: " + error.getMessage(), error);
                }
            } finally {
                channel.close();
            }
            Thread.sleep(PAUSE_MILLIS);
        }
    }

    /** Returns the path of the scorers' socket; starts the scorers if they are not running. */
    private String address() throws IOException {
        synchronized (RealtimeScorer.class) {
            if (scorers != null && !model.equals(key)) {
                scorers.getOutputStream().close();
                scorers = null;
            }
            if (scorers == null || !scorers.isAlive()) {
                start();
                key = model;
            }
            return socket;
        }
    }

    private void start() throws IOException {
        boolean isLocal = new File(model).isAbsolute();
        List words = new ArrayList(Arrays.asList(command));
        words.add(isLocal ? model : SparkFiles.get(model));
        ProcessBuilder builder = new ProcessBuilder(words);
        Map variables = builder.environment();
        for (int index = 0; index < environment.length; index += 2) {
            variables.put(environment[index], environment[index + 1]);
        }
        if (!isLocal) {
            String given = (String) variables.get("PYTHONPATH");
            String spark = PythonUtils.sparkPythonPath();
            variables.put("PYTHONPATH", given == null ? spark : spark + File.pathSeparator + given);
        }
        builder.redirectError(ProcessBuilder.Redirect.INHERIT);
        Process started = builder.start();
        String line = new BufferedReader(new InputStreamReader(started.getInputStream())).readLine();
        if (line == null) {
            throw new IOException("the scorers ended during their start");
        }
        if (!line.startsWith("/")) {
            throw new IllegalStateException("the scorers did not start: " + line);
        }
        scorers = started;
        socket = line;
    }

    private static byte[] request(byte[] payload, String contentType, String specVersion) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream output = new DataOutputStream(bytes);
        write(output, payload);
        write(output, contentType == null ? null : contentType.getBytes(StandardCharsets.UTF_8));
        write(output, specVersion == null ? null : specVersion.getBytes(StandardCharsets.UTF_8));
        return bytes.toByteArray();
    }

    private static void write(DataOutputStream output, byte[] value) throws IOException {
        output.writeInt(value == null ? -1 : value.length);
        if (value != null) {
            output.write(value);
        }
    }

    private static Object answer(DataInputStream input, Long batch) throws IOException {
        String name = text(input);
        if (name == null) {
            throw new IllegalStateException(text(input));
        }
        double reviewBelow = input.readDouble();
        Instant at = Instant.EPOCH.plus(input.readLong(), ChronoUnit.MICROS);
        String reason = text(input);
        String detail = text(input);
        if (reason != null) {
            return row(batch, name, Double.valueOf(reviewBelow), at, null, null, null, null, reason, detail);
        }
        String prediction = text(input);
        double confidence = input.readDouble();
        int count = input.readInt();
        Map probabilities = new LinkedHashMap();
        for (int index = 0; index < count; index++) {
            String label = text(input);
            probabilities.put(label, Double.valueOf(input.readDouble()));
        }
        int chosen = input.readInt();
        List labels = chosen < 0 ? null : new ArrayList();
        for (int index = 0; index < chosen; index++) {
            labels.add(text(input));
        }
        Double sure = Double.valueOf(confidence);
        return row(batch, name, Double.valueOf(reviewBelow), at, prediction, sure, probabilities, labels, null, null);
    }

    private static String text(DataInputStream input) throws IOException {
        int length = input.readInt();
        if (length < 0) {
            return null;
        }
        byte[] bytes = new byte[length];
        input.readFully(bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    private static Object row(
            Long batch, String name, Double reviewBelow, Instant at, String prediction, Double confidence,
            Map probabilities, List labels, String reason, String detail) {
        return RowFactory.create(
            new Object[] {
                prediction, confidence, probabilities, labels == null ? null : labels.toArray(),
                reason, detail, at, batch, name, reviewBelow
            });
    }
}
