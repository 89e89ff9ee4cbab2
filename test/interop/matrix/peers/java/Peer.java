import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Java's own HttpClient as a peer: {@code java Peer.java client URL}. See ../../README.md. */
public class Peer implements WebSocket.Listener {
    interface Check {
        void run(WebSocket ws, Peer peer) throws Exception;
    }

    /** Messages, "pong DATA", "closed CODE REASON", and errors, in order. */
    private final BlockingQueue<Object> events = new LinkedBlockingQueue<>();
    private final StringBuilder text = new StringBuilder();
    private final java.io.ByteArrayOutputStream bytes = new java.io.ByteArrayOutputStream();

    @Override
    public CompletionStage<?> onText(WebSocket ws, CharSequence data, boolean last) {
        text.append(data);
        if (last) {
            events.add(text.toString());
            text.setLength(0);
        }
        ws.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onBinary(WebSocket ws, ByteBuffer data, boolean last) {
        byte[] part = new byte[data.remaining()];
        data.get(part);
        bytes.writeBytes(part);
        if (last) {
            events.add(bytes.toByteArray());
            bytes.reset();
        }
        ws.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onPong(WebSocket ws, ByteBuffer data) {
        events.add("pong " + StandardCharsets.UTF_8.decode(data));
        ws.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onClose(WebSocket ws, int code, String reason) {
        events.add("closed " + code + " " + reason);
        return null;
    }

    @Override
    public void onError(WebSocket ws, Throwable error) {
        events.add(error);
    }

    void expect(Object expected) throws Exception {
        Object got = events.poll(10, TimeUnit.SECONDS);
        if (!(expected instanceof byte[] all ? got instanceof byte[] some && Arrays.equals(all, some) : Objects.equals(got, expected))) {
            throw new AssertionError(String.format("%.80s instead of %.80s", got, expected));
        }
    }

    void echoes(WebSocket ws, byte[] message) throws Exception {
        ws.sendBinary(ByteBuffer.wrap(message), true).join();
        expect(message);
    }

    public static void main(String[] arguments) {
        byte[] all = new byte[256];
        for (int i = 0; i < all.length; i++) all[i] = (byte) i;
        byte[] large = new byte[1024 * 1024];
        for (int i = 0; i < large.length; i++) large[i] = (byte) i;
        String url = arguments[1];
        check(url, "text", (ws, peer) -> {
            ws.sendText("Grüße, 世界 😀", true).join();
            peer.expect("Grüße, 世界 😀");
        });
        check(url, "binary", (ws, peer) -> peer.echoes(ws, all));
        check(url, "large", (ws, peer) -> peer.echoes(ws, large));
        check(url, "fragments", (ws, peer) -> {
            ws.sendText("frag", false).join();
            ws.sendText("men", false).join();
            ws.sendText("ted", true).join();
            peer.expect("fragmented");
            ws.sendText("fragments", true).join();
            peer.expect("fragmented");
        });
        check(url, "ping", (ws, peer) -> {
            ws.sendPing(ByteBuffer.wrap("hello".getBytes(StandardCharsets.UTF_8))).join();
            peer.expect("pong hello");
            ws.sendText("ping back", true).join();
            peer.expect("pong back");
        });
        check(url, "close", (ws, peer) -> {
            ws.sendClose(4002, "done").join();
            peer.expect("closed 4002 done");
        });
        check(url, "closed", (ws, peer) -> {
            ws.sendText("close 4001 bye", true).join();
            peer.expect("closed 4001 bye");
        });
        check(url, "subprotocol", (ws, peer) -> {
            if (!ws.getSubprotocol().equals("interop")) throw new AssertionError(ws.getSubprotocol());
            ws.sendText("after", true).join();
            peer.expect("after");
        });
        System.exit(0);
    }

    static void check(String url, String name, Check check) {
        try {
            Peer peer = new Peer();
            WebSocket.Builder builder = HttpClient.newHttpClient().newWebSocketBuilder();
            if (name.equals("subprotocol")) builder.subprotocols("other", "interop");
            WebSocket ws = builder.buildAsync(URI.create(url + "/" + name), peer).get(10, TimeUnit.SECONDS);
            check.run(ws, peer);
            // The others have closed already, or HttpClient is about to answer the server's Close
            if (!name.startsWith("close")) ws.sendClose(WebSocket.NORMAL_CLOSURE, "").join();
            System.out.println(name + " ok");
        } catch (Throwable error) {
            System.out.println(name + " failed " + String.valueOf(error).replace('\n', ' '));
        }
    }
}
