// load_udp PORT SECONDS SOCKETS WINDOW SIZE [trains]: datagrams there and back, WINDOW of them under way on each socket.
// With trains the kernel cuts each window out of one block (GSO), and joins what comes back (GRO).
#include "histogram.h"
#include <netinet/udp.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { MOST = 64, LARGEST = 1400, PATIENCE = 20 * 1000 * 1000 };

struct line {
    int socket;
    unsigned under_way;
    uint64_t heard;
};

static struct histogram times;
static uint64_t answered, lost;
static unsigned window;
static size_t size;
static int trains;
static char out[MOST * LARGEST];
static char in[MOST][BLOCK];

// Each datagram begins with the time at which it leaves.
static void stamp(unsigned many) {
    uint64_t time = now();
    for (unsigned i = 0; i < many; i++) memcpy(out + i * size, &time, sizeof time);
}

static void send_train(struct line *line, unsigned many) {
    if (send(line->socket, out, many * size, 0) < 0 && errno != EAGAIN) fail("send");
}

static void send_each(struct line *line, unsigned many) {
    static struct mmsghdr messages[MOST];
    static struct iovec parts[MOST];
    for (unsigned i = 0; i < many; i++) {
        parts[i] = (struct iovec){out + i * size, size};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    if (sendmmsg(line->socket, messages, many, 0) < 0 && errno != EAGAIN) fail("sendmmsg");
}

static void fill(struct line *line) {
    unsigned many = window - line->under_way;
    stamp(many);
    (trains ? send_train : send_each)(line, many);
    line->under_way = window;
}

// One block of the kernel, which is one datagram or several joined.
static void hear(struct line *line, const char *bytes, size_t length, uint64_t time) {
    for (; length >= size; bytes += size, length -= size) {
        uint64_t sent;
        memcpy(&sent, bytes, sizeof sent);
        record(&times, time - sent);
        answered++;
        // One that was given up may come after all.
        if (line->under_way) line->under_way--;
    }
}

static void take(struct line *line) {
    static struct mmsghdr messages[MOST];
    static struct iovec parts[MOST];
    for (unsigned i = 0; i < MOST; i++) {
        parts[i] = (struct iovec){in[i], BLOCK};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int got = recvmmsg(line->socket, messages, MOST, MSG_DONTWAIT, NULL);
    if (got < 0 && errno != EAGAIN) fail("recvmmsg");
    line->heard = now();
    for (int i = 0; i < got; i++) hear(line, in[i], messages[i].msg_len, line->heard);
    // A train leaves whole: one that is filled up by ones is no train.
    if (!trains || !line->under_way) fill(line);
}

// What has not come in time is lost.
static void give_up(struct line *line, uint64_t time) {
    if (time < line->heard + PATIENCE) return;
    lost += line->under_way;
    line->under_way = 0;
    line->heard = time;
    fill(line);
}

static void open_line(struct line *line, const char *port, int poll) {
    struct sockaddr_in address = loopback(port);
    int room = 4 << 20, segment = (int)size;
    line->socket = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(line->socket, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (trains) switch_on(line->socket, SOL_UDP, UDP_GRO);
    if (trains && setsockopt(line->socket, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment)) fail("UDP_SEGMENT");
    if (connect(line->socket, (struct sockaddr *)&address, sizeof address)) fail("connect");
    line->heard = now();
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = line};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, line->socket, &event)) fail("epoll_ctl");
}

int main(int count, char **words) {
    const char *takes = "load_udp PORT SECONDS SOCKETS WINDOW SIZE [trains]";
    if (count < 6 || count > 7) usage(takes);
    int sockets = atoi(words[3]), poll = epoll_create1(0);
    window = (unsigned)atoi(words[4]);
    size = (size_t)atoi(words[5]);
    trains = count == 7;
    if (sockets < 1 || window < 1 || window > MOST || size < 8 || size > LARGEST) usage(takes);
    struct line *lines = allocate((size_t)sockets * sizeof *lines);
    for (int i = 0; i < sockets; i++) open_line(&lines[i], words[1], poll);
    wait_for_go();
    uint64_t start = now(), end = start + nanoseconds(words[2]), time;
    for (int i = 0; i < sockets; i++) fill(&lines[i]);
    struct epoll_event events[EVENTS];
    while ((time = now()) < end) {
        int ready = epoll_wait(poll, events, EVENTS, 20);
        for (int i = 0; i < ready; i++) take(events[i].data.ptr);
        for (int i = 0; i < sockets; i++) give_up(&lines[i], time);
    }
    report((double)(time - start) / 1e9, answered, answered * size, lost, &times);
}
