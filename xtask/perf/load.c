// load tcp|http|ws PORT SECONDS CONNECTIONS DEPTH SIZE|PATH: asks and hears, and has DEPTH requests under way on each
// connection (closed loop). Every request is timed, and every reply is parsed as far as its length asks for.
#include "histogram.h"

enum { PART = 4096, MOST_DEPTH = 1024, LARGE = 1 << 20 };

struct link {
    int socket;
    // When each request under way was sent, the oldest at `oldest`.
    uint64_t *sent;
    unsigned oldest, under_way;
    // What is still to come of the body of a reply, and whether there is one.
    uint64_t body;
    int in_body;
    // The beginning of a head that has not come whole.
    char part[PART];
    size_t part_length;
};

struct protocol {
    const char *name;
    // Writes one request, of a size or for a path, and gives its length.
    size_t (*ask)(char *out, const char *what);
    // The length of the head of a reply, 0 while it is not whole; and how long the body behind it is.
    size_t (*head)(char *bytes, size_t length, uint64_t *body);
    void (*begin)(int socket);
};

static struct histogram times;
static uint64_t answered, heard_bytes;
static size_t size, request_length;
static unsigned depth;
static char *requests;

static void nothing(int socket) { (void)socket; }

static size_t ask_tcp(char *out, const char *what) {
    size = (size_t)atoi(what);
    memset(out, 'x', size);
    return size;
}

// An echo has no head: its first byte stands for one.
static size_t head_tcp(char *bytes, size_t length, uint64_t *body) {
    (void)bytes;
    *body = size - 1;
    return length > 0;
}

static size_t ask_http(char *out, const char *path) {
    return (size_t)sprintf(out, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
}

static size_t head_http(char *bytes, size_t length, uint64_t *body) {
    char *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    if (memcmp(bytes, "HTTP/1.1 200", 12)) fail("not the reply that was asked for");
    char *field = strcasestr(bytes, "\ncontent-length:");
    if (!field) fail("a reply without a length");
    *body = strtoull(field + 16, NULL, 10);
    return (size_t)(end + 4 - bytes);
}

static void begin_ws(int socket) {
    static const char ASK[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    char head[PART];
    size_t length = 0;
    if (send(socket, ASK, sizeof ASK - 1, 0) < 0) fail("upgrade");
    while (length < 4 || memcmp(head + length - 4, "\r\n\r\n", 4)) {
        if (length == sizeof head || recv(socket, head + length, 1, 0) != 1) fail("upgrade");
        length++;
    }
    if (memcmp(head, "HTTP/1.1 101", 12)) fail("no upgrade");
}

// A masked binary message (RFC 6455, section 5.2).
static size_t ask_ws(char *out, const char *what) {
    static const unsigned char KEY[4] = {0x12, 0x34, 0x56, 0x78};
    size = (size_t)atoi(what);
    size_t at = 0;
    out[at++] = (char)0x82;
    out[at++] = (char)(0x80 | (size < 126 ? size : 126));
    if (size >= 126) {
        out[at++] = (char)(size >> 8);
        out[at++] = (char)size;
    }
    memcpy(out + at, KEY, 4);
    at += 4;
    for (size_t i = 0; i < size; i++) out[at + i] = (char)('x' ^ KEY[i % 4]);
    return at + size;
}

static size_t head_ws(char *bytes, size_t length, uint64_t *body) {
    unsigned char *head = (unsigned char *)bytes;
    if (length < 2) return 0;
    *body = head[1] & 0x7f;
    if (*body == 127) fail("a longer message than was sent");
    if (*body < 126) return 2;
    if (length < 4) return 0;
    *body = (uint64_t)(head[2] << 8 | head[3]);
    return 4;
}

static const struct protocol PROTOCOLS[] = {
    {"tcp", ask_tcp, head_tcp, nothing},
    {"http", ask_http, head_http, nothing},
    {"ws", ask_ws, head_ws, begin_ws},
};

// One reply is whole.
static void hear(struct link *link) {
    record(&times, now() - link->sent[link->oldest]);
    link->oldest = (link->oldest + 1) % depth;
    link->under_way--;
    answered++;
}

static void parse(struct link *link, const struct protocol *protocol, char *bytes, size_t length) {
    while (length) {
        if (!link->in_body) {
            size_t head = protocol->head(bytes, length, &link->body);
            if (!head) break;
            bytes += head;
            length -= head;
            link->in_body = 1;
        }
        size_t some = link->body < length ? (size_t)link->body : length;
        bytes += some;
        length -= some;
        link->body -= some;
        if (link->body) return;
        link->in_body = 0;
        hear(link);
    }
    if (length > PART) fail("a head without an end");
    memcpy(link->part, bytes, length);
    link->part_length = length;
}

// Requests are short, and a server that lets them stand is not measured: a write that is cut short waits.
static void send_all(int socket, const char *bytes, size_t length) {
    while (length) {
        ssize_t sent = send(socket, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) fail("send");
        if (sent < 0) continue;
        bytes += sent;
        length -= (size_t)sent;
    }
}

static void fill(struct link *link) {
    unsigned more = depth - link->under_way;
    if (!more) return;
    uint64_t time = now();
    while (link->under_way < depth) link->sent[(link->oldest + link->under_way++) % depth] = time;
    send_all(link->socket, requests, more * request_length);
}

static void take(struct link *link, const struct protocol *protocol) {
    static char block[PART + 4 * BLOCK];
    ssize_t got;
    if (link->body >= LARGE) {
        // A large body is counted and thrown away in the kernel, so that the server is what is measured.
        got = recv(link->socket, NULL, (size_t)link->body - 1, MSG_TRUNC);
        if (got > 0) link->body -= (uint64_t)got;
    } else {
        size_t before = link->part_length;
        memcpy(block, link->part, before);
        got = recv(link->socket, block + before, sizeof block - before, 0);
        link->part_length = 0;
        if (got > 0) parse(link, protocol, block, before + (size_t)got);
        else link->part_length = before;
    }
    if (got == 0 || (got < 0 && errno != EAGAIN)) fail("the server ended a connection");
    if (got > 0) heard_bytes += (uint64_t)got;
    fill(link);
}

static struct link *connect_all(const struct protocol *protocol, const char *port, int connections, int poll) {
    struct link *links = allocate((size_t)connections * sizeof *links);
    for (int i = 0; i < connections; i++) {
        links[i].socket = connect_to(port);
        links[i].sent = allocate(depth * sizeof *links[i].sent);
        protocol->begin(links[i].socket);
        unblock(links[i].socket);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &links[i]};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, links[i].socket, &event)) fail("epoll_ctl");
    }
    return links;
}

static void prepare_requests(const struct protocol *protocol, const char *what) {
    char *one = allocate(BLOCK + 64);
    request_length = protocol->ask(one, what);
    requests = allocate(depth * request_length);
    for (unsigned i = 0; i < depth; i++) memcpy(requests + i * request_length, one, request_length);
    free(one);
}

static const struct protocol *called(const char *name) {
    for (size_t i = 0; i < sizeof PROTOCOLS / sizeof *PROTOCOLS; i++)
        if (!strcmp(name, PROTOCOLS[i].name)) return &PROTOCOLS[i];
    return NULL;
}

int main(int count, char **words) {
    const struct protocol *protocol = count == 7 ? called(words[1]) : NULL;
    if (!protocol) usage("load tcp|http|ws PORT SECONDS CONNECTIONS DEPTH SIZE|PATH");
    int connections = atoi(words[4]), poll = epoll_create1(0);
    depth = (unsigned)atoi(words[5]);
    if (connections < 1 || depth < 1 || depth > MOST_DEPTH) usage("load: at least one connection, a depth of 1 to 1024");
    raise_limit();
    prepare_requests(protocol, words[6]);
    struct link *links = connect_all(protocol, words[2], connections, poll);
    wait_for_go();
    uint64_t start = now(), end = start + nanoseconds(words[3]), time;
    for (int i = 0; i < connections; i++) fill(&links[i]);
    struct epoll_event events[EVENTS];
    while ((time = now()) < end) {
        int ready = epoll_wait(poll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) take(events[i].data.ptr, protocol);
    }
    report((double)(time - start) / 1e9, answered, heard_bytes, 0, &times);
}
