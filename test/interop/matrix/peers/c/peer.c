/* libwebsockets as a peer: `libwebsockets server`, or `libwebsockets client URL`. See ../../README.md. */

#include <libwebsockets.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT, BINARY, PING, PONG, FRAGMENT, MIDDLE, LAST, CLOSE, END };

static const int write_flags[] = {
    [TEXT] = LWS_WRITE_TEXT,
    [BINARY] = LWS_WRITE_BINARY,
    [PING] = LWS_WRITE_PING,
    [PONG] = LWS_WRITE_PONG,
    [FRAGMENT] = LWS_WRITE_TEXT | LWS_WRITE_NO_FIN,
    [MIDDLE] = LWS_WRITE_CONTINUATION | LWS_WRITE_NO_FIN,
    [LAST] = LWS_WRITE_CONTINUATION,
};

/* What waits to be sent. A close has code and reason. */
struct item {
  struct item *next;
  int kind;
  int code;
  size_t size;
  unsigned char bytes[];
};

struct session {
  struct item *first, *last;
  unsigned char *message;
  size_t size, room;
  int ends;
};

static void queue(struct lws *wsi, struct session *s, int kind, int code, const void *bytes, size_t size) {
  struct item *item = calloc(1, sizeof *item + LWS_PRE + size);
  item->kind = kind;
  item->code = code;
  item->size = size;
  memcpy(item->bytes + LWS_PRE, bytes, size);
  if (s->last) s->last->next = item;
  else s->first = item;
  s->last = item;
  lws_callback_on_writable(wsi);
}

static void queue_fragments(struct lws *wsi, struct session *s) {
  queue(wsi, s, FRAGMENT, 0, "frag", 4);
  queue(wsi, s, MIDDLE, 0, "men", 3);
  queue(wsi, s, LAST, 0, "ted", 3);
}

/* Sends what is next; -1 to close. */
static int send_next(struct lws *wsi, struct session *s) {
  struct item *item = s->first;
  int result = 0;
  if (!item) return 0;
  s->first = item->next;
  if (!s->first) s->last = NULL;
  if (item->kind == CLOSE) {
    lws_close_reason(wsi, item->code, item->bytes + LWS_PRE, item->size);
    result = -1;
  } else if (lws_write(wsi, item->bytes + LWS_PRE, item->size, write_flags[item->kind]) < 0) {
    result = -1;
  }
  free(item);
  if (s->first) lws_callback_on_writable(wsi);
  return result;
}

/* Gathers a message; returns whether it is whole. */
static int gather(struct lws *wsi, struct session *s, const void *bytes, size_t size) {
  if (s->size + size > s->room) {
    s->room = (s->size + size) * 2;
    s->message = realloc(s->message, s->room + 1);
  }
  if (size > 0) memcpy(s->message + s->size, bytes, size);
  s->size += size;
  return lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0;
}

static void clear(struct session *s) {
  while (s->first) {
    struct item *next = s->first->next;
    free(s->first);
    s->first = next;
  }
  free(s->message);
  memset(s, 0, sizeof *s);
}

/* The server: echoes messages and does what some of them ask for. */
static void answer(struct lws *wsi, struct session *s) {
  const int binary = lws_frame_is_binary(wsi);
  const char *text = binary ? "" : (char *)s->message;
  if (s->message) s->message[s->size] = 0;
  if (strncmp(text, "close ", 6) == 0) {
    char *reason;
    const int code = (int)strtol(text + 6, &reason, 10);
    queue(wsi, s, CLOSE, code, reason + 1, strlen(reason + 1));
  } else if (strncmp(text, "ping ", 5) == 0) {
    queue(wsi, s, PING, 0, text + 5, strlen(text + 5));
  } else if (strcmp(text, "fragments") == 0) {
    queue_fragments(wsi, s);
  } else {
    queue(wsi, s, binary ? BINARY : TEXT, 0, s->message, s->size);
  }
  s->size = 0;
}

static int on_server(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size) {
  struct session *s = user;
  char text[140];
  switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
      memset(s, 0, sizeof *s);
      break;
    case LWS_CALLBACK_RECEIVE:
      if (gather(wsi, s, in, size)) answer(wsi, s);
      break;
    case LWS_CALLBACK_RECEIVE_PONG:
      queue(wsi, s, TEXT, 0, text, (size_t)snprintf(text, sizeof text, "pong %.*s", (int)size, (char *)in));
      break;
    case LWS_CALLBACK_SERVER_WRITEABLE:
      return send_next(wsi, s);
    case LWS_CALLBACK_CLOSED:
      clear(s);
      break;
    default:
      break;
  }
  return 0;
}

/* The client: what it sends, and what is to come of it. */
struct step {
  int expects;
  int kind;
  int code;
  const void *bytes;
  size_t size;
};

#define SEND(kind, string) {0, kind, 0, string, sizeof(string) - 1}
#define EXPECT(kind, string) {1, kind, 0, string, sizeof(string) - 1}

static unsigned char all[1 << 20];
static char json[4096];
static const struct step text_steps[] = {SEND(TEXT, "Grüße, 世界 😀"), EXPECT(TEXT, "Grüße, 世界 😀"), {.kind = END}};
static const struct step binary_steps[] = {{0, BINARY, 0, all, 256}, {1, BINARY, 0, all, 256}, {.kind = END}};
static const struct step large_steps[] = {{0, BINARY, 0, all, sizeof all}, {1, BINARY, 0, all, sizeof all}, {.kind = END}};
static const struct step fragments_steps[] = {SEND(FRAGMENT, "frag"), SEND(MIDDLE, "men"), SEND(LAST, "ted"), EXPECT(TEXT, "fragmented"),
                                              SEND(TEXT, "fragments"), EXPECT(TEXT, "fragmented"), {.kind = END}};
static const struct step ping_steps[] = {SEND(PING, "hello"), EXPECT(PONG, "hello"), SEND(TEXT, "ping back"), EXPECT(TEXT, "pong back"),
                                         {.kind = END}};
static const struct step close_steps[] = {{0, CLOSE, 4002, "done", 4}, {.kind = END}};
static const struct step closed_steps[] = {SEND(TEXT, "close 4001 bye"), {1, CLOSE, 4001, "bye", 3}, {.kind = END}};
static const struct step subprotocol_steps[] = {SEND(TEXT, "after"), EXPECT(TEXT, "after"), {.kind = END}};
static struct step compression_steps[] = {{0, TEXT, 0, json, 0}, {1, TEXT, 0, json, 0}, {0, TEXT, 0, json, 0},
                                          {1, TEXT, 0, json, 0}, {.kind = END}};

static const struct {
  const char *name;
  const struct step *steps;
} checks[] = {{"text", text_steps},         {"binary", binary_steps}, {"large", large_steps},   {"fragments", fragments_steps},
              {"ping", ping_steps},         {"close", close_steps},   {"closed", closed_steps}, {"subprotocol", subprotocol_steps},
              {"compression", compression_steps}};

static struct session client;
static const struct step *at;
static int over;
static char failure[200];

/* Sends up to what is expected next; behind the last step it closes. */
static void go_on(struct lws *wsi) {
  for (; !at->expects && at->kind != END; at++) {
    if (at->kind == CLOSE) client.ends = 1;
    queue(wsi, &client, at->kind, at->code, at->bytes, at->size);
  }
  if (at->kind == END && !client.ends) {
    client.ends = 1;
    queue(wsi, &client, CLOSE, LWS_CLOSE_STATUS_NORMAL, "", 0);
  }
}

static int event(struct lws *wsi, int kind, int code, const void *bytes, size_t size) {
  if (!at->expects || at->kind != kind || at->code != code || at->size != size || memcmp(at->bytes, bytes, size) != 0) {
    snprintf(failure, sizeof failure, "event %d %d of %zu bytes: %.40s", kind, code, size, (const char *)bytes);
    return -1;
  }
  at++;
  if (kind != CLOSE) go_on(wsi);
  return 0;
}

static int on_client(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size) {
  const unsigned char *bytes = in;
  (void)user;
  switch (reason) {
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
      snprintf(failure, sizeof failure, "%.*s", (int)size, in ? (char *)in : "");
      over = 1;
      break;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
      go_on(wsi);
      break;
    case LWS_CALLBACK_CLIENT_RECEIVE:
      if (gather(wsi, &client, in, size)) {
        const size_t whole = client.size;
        client.size = 0;
        return event(wsi, lws_frame_is_binary(wsi) ? BINARY : TEXT, 0, client.message, whole);
      }
      break;
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
      return event(wsi, PONG, 0, in, size);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
      client.ends = 1;
      return size < 2 ? 0 : event(wsi, CLOSE, bytes[0] << 8 | bytes[1], bytes + 2, size - 2);
    case LWS_CALLBACK_CLIENT_WRITEABLE:
      return send_next(wsi, &client);
    case LWS_CALLBACK_CLIENT_CLOSED:
      over = 1;
      break;
    default:
      break;
  }
  return 0;
}

static const struct lws_extension extensions[] = {
    {"permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate; client_max_window_bits"},
    {NULL, NULL, NULL},
};
static const struct lws_protocols server_protocols[] = {{"interop", on_server, sizeof(struct session), 65536, 0, NULL, 0},
                                                        {NULL, NULL, 0, 0, 0, NULL, 0}};
static const struct lws_protocols client_protocols[] = {{"interop", on_client, 0, 65536, 0, NULL, 0},
                                                        {NULL, NULL, 0, 0, 0, NULL, 0}};

static void check(const char *host, int port, int i) {
  struct lws_context_creation_info info = {0};
  struct lws_client_connect_info to = {0};
  char path[40];
  clear(&client);
  at = checks[i].steps;
  over = 0;
  failure[0] = 0;
  info.port = CONTEXT_PORT_NO_LISTEN;
  info.protocols = client_protocols;
  if (strcmp(checks[i].name, "compression") == 0) info.extensions = extensions;
  struct lws_context *context = lws_create_context(&info);
  snprintf(path, sizeof path, "/%s", checks[i].name);
  to.context = context;
  to.address = to.host = to.origin = host;
  to.port = port;
  to.path = path;
  to.local_protocol_name = "interop";
  if (strcmp(checks[i].name, "subprotocol") == 0) to.protocol = "other,interop";
  if (lws_client_connect_via_info(&to)) {
    while (!over) lws_service(context, 0);
  }
  if (failure[0] == 0 && at->kind != END) snprintf(failure, sizeof failure, "ended at step %d", (int)(at - checks[i].steps));
  printf("%s %s%s\n", checks[i].name, failure[0] ? "failed " : "ok", failure);
  fflush(stdout);
  lws_context_destroy(context);
}

static void *wait_for_end(void *unused) {
  while (getchar() != EOF) continue;
  exit(0);
  return unused;
}

int main(int count, char **arguments) {
  struct lws_context_creation_info info = {0};
  struct lws_context *context;
  pthread_t thread;
  lws_set_log_level(LLL_ERR, NULL);
  if (count > 2) {
    char host[100];
    int port;
    for (size_t i = 0; i < sizeof all; i++) all[i] = (unsigned char)i;
    for (int i = 0; i < 100; i++) sprintf(json + strlen(json), "{\"id\": %d},", i);
    for (int i = 0; i < 4; i++) compression_steps[i].size = strlen(json);
    if (sscanf(arguments[2], "ws://%99[^:]:%d", host, &port) != 2) return 2;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) check(host, port, (int)i);
    return 0;
  }
  info.iface = "lo";
  info.protocols = server_protocols;
  info.extensions = extensions;
  info.vhost_name = "interop";
  info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
  context = lws_create_context(&info);
  printf("listening %d\n", lws_get_vhost_listen_port(lws_create_vhost(context, &info)));
  fflush(stdout);
  pthread_create(&thread, NULL, wait_for_end, NULL);
  for (;;) lws_service(context, 0);
}
