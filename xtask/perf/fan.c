// fan line|redis|nats PORT SECONDS MEMBERS WINDOW SIZE: one sender, and everybody else hears it. WINDOW messages leave
// together, and the next ones when all members have had all of them.
#include "histogram.h"

struct protocol {
    const char *name;
    // What a member says to become one.
    const char *join;
    // What stands before and behind a message, of which the first takes its size.
    const char *before, *behind;
};

static const struct protocol PROTOCOLS[] = {
    {"line", "", "", "\n"},
    {"redis", "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nr\r\n", "*3\r\n$7\r\nPUBLISH\r\n$1\r\nr\r\n$%d\r\n", "\r\n"},
    {"nats", "CONNECT {\"verbose\":false}\r\nSUB r 1\r\n", "PUB r %d\r\n", "\r\n"},
};

enum { SILENCE = 250 };

static struct histogram times;
static uint64_t *heard;
static int poll;

static uint64_t take(int index, int socket) {
    static char block[BLOCK];
    ssize_t got = recv(socket, block, sizeof block, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) fail("the server ended a connection");
    if (got < 0) return 0;
    heard[index] += (uint64_t)got;
    return (uint64_t)got;
}

static void connect_all(int *sockets, int many, const char *port, const char *join) {
    for (int i = 0; i < many; i++) {
        sockets[i] = connect_to(port);
        if (*join && i > 0 && send(sockets[i], join, strlen(join), 0) < 0) fail("join");
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)i << 32 | (uint32_t)sockets[i]};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, sockets[i], &event)) fail("epoll_ctl");
    }
}

// One round of what has come; false when nothing came for so long.
static int listen_for(int milliseconds) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(poll, events, EVENTS, milliseconds);
    for (int i = 0; i < ready; i++) take((int)(events[i].data.u64 >> 32), (int)(uint32_t)events[i].data.u64);
    return ready > 0;
}

static void wait_for_silence(void) {
    while (listen_for(SILENCE)) {
    }
}

static size_t compose(char *out, const struct protocol *protocol, int size) {
    size_t length = (size_t)sprintf(out, protocol->before, size);
    memset(out + length, 'x', (size_t)size);
    return length + (size_t)size + (size_t)sprintf(out + length + size, "%s", protocol->behind);
}

// What one message is to a member, which is the server's to say, so it is tried.
static uint64_t delivery(int *sockets, int many, const char *message, size_t length) {
    wait_for_silence();
    memset(heard, 0, (size_t)many * sizeof *heard);
    if (send(sockets[0], message, length, 0) < 0) fail("send");
    wait_for_silence();
    for (int i = 1; i < many; i++)
        if (!heard[i] || heard[i] != heard[1]) fail("not every member hears the same");
    return heard[1];
}

static void send_all(int socket, const char *bytes, size_t length) {
    while (length) {
        ssize_t sent = send(socket, bytes, length, MSG_NOSIGNAL);
        if (sent < 0) fail("send");
        bytes += sent;
        length -= (size_t)sent;
    }
}

// Waits until every member has had that much; the slowest one is where the search goes on.
static void wait_for_all(int many, uint64_t wanted) {
    for (int slowest = 1; slowest < many;) {
        if (heard[slowest] >= wanted) slowest++;
        else if (!listen_for(5000)) fail("a message is lost");
    }
}

int main(int count, char **words) {
    const struct protocol *protocol = NULL;
    for (size_t i = 0; count == 7 && i < sizeof PROTOCOLS / sizeof *PROTOCOLS; i++)
        if (!strcmp(words[1], PROTOCOLS[i].name)) protocol = &PROTOCOLS[i];
    if (!protocol) usage("fan line|redis|nats PORT SECONDS MEMBERS WINDOW SIZE");
    int many = atoi(words[4]) + 1, window = atoi(words[5]), size = atoi(words[6]);
    raise_limit();
    poll = epoll_create1(0);
    heard = allocate((size_t)many * sizeof *heard);
    int *sockets = allocate((size_t)many * sizeof *sockets);
    connect_all(sockets, many, words[2], protocol->join);
    char *messages = allocate((size_t)(size + 64) * (size_t)window);
    size_t length = compose(messages, protocol, size);
    uint64_t each = delivery(sockets, many, messages, length);
    for (int i = 1; i < window; i++) memcpy(messages + (size_t)i * length, messages, length);
    memset(heard, 0, (size_t)many * sizeof *heard);
    wait_for_go();
    uint64_t bursts = 0, start = now(), end = start + nanoseconds(words[3]), time = start;
    while (time < end) {
        send_all(sockets[0], messages, length * (size_t)window);
        wait_for_all(many, ++bursts * each * (uint64_t)window);
        uint64_t done = now();
        record(&times, done - time);
        time = done;
    }
    uint64_t deliveries = bursts * (uint64_t)window * (uint64_t)(many - 1);
    report((double)(time - start) / 1e9, deliveries, deliveries * each, 0, &times);
}
