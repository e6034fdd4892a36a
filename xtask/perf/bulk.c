// bulk source PORT SECONDS CONNECTIONS: sends as much as is taken.
// bulk sink PORT: takes whatever is sent, and throws it away in the kernel, so that the sink is not what is measured.
#include "histogram.h"
#include "server.h"

enum { PIECE = 256 * 1024, TAKE = 4 << 20 };

static void welcome(int poll, int peer) { watch(poll, peer, EPOLLIN, EPOLL_CTL_ADD); }

static void serve(int poll, int peer, uint32_t events) {
    (void)poll, (void)events;
    ssize_t got = recv(peer, NULL, TAKE, MSG_TRUNC);
    if (got == 0 || (got < 0 && errno != EAGAIN)) close(peer);
}

static void source(const char *port, const char *seconds, int connections) {
    static char piece[PIECE];
    int poll = epoll_create1(0);
    for (int i = 0; i < connections; i++) {
        int peer = connect_to(port);
        unblock(peer);
        watch(poll, peer, EPOLLOUT, EPOLL_CTL_ADD);
    }
    wait_for_go();
    uint64_t start = now(), end = start + nanoseconds(seconds), time, bytes = 0;
    struct epoll_event events[EVENTS];
    while ((time = now()) < end) {
        int ready = epoll_wait(poll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            ssize_t sent = send(events[i].data.fd, piece, sizeof piece, MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN) fail("send");
            if (sent > 0) bytes += (uint64_t)sent;
        }
    }
    report((double)(time - start) / 1e9, 0, bytes, 0, NULL);
}

int main(int count, char **words) {
    if (count == 3 && !strcmp(words[1], "sink")) serve_all(words[2]);
    if (count != 5 || strcmp(words[1], "source")) usage("bulk sink PORT, or bulk source PORT SECONDS CONNECTIONS");
    source(words[2], words[3], atoi(words[4]));
}
