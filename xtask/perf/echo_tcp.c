// echo_tcp PORT: a TCP echo with one read and one write for each message, the reference of TCP servers.
#include "rest.h"
#include "server.h"

// Whether the peer is still there.
static int echo(int poll, int peer) {
    static char block[BLOCK];
    // Nothing more is read of who does not take what it is owed.
    if (owes(peer)) return 1;
    ssize_t got = recv(peer, block, sizeof block, 0);
    if (got < 0) return errno == EAGAIN;
    return got > 0 && give(poll, peer, block, (size_t)got);
}

static void serve(int poll, int peer, uint32_t events) {
    int stays = !(events & EPOLLOUT) || give_rest(poll, peer);
    if (stays && events & ~(uint32_t)EPOLLOUT) stays = echo(poll, peer);
    if (stays) return;
    forget(peer);
    close(peer);
}

static void welcome(int poll, int peer) { watch(poll, peer, EPOLLIN, EPOLL_CTL_ADD); }

int main(int count, char **words) {
    if (count != 2) usage("echo_tcp PORT");
    serve_all(words[1]);
}
