// chat PORT: sends each block that one member writes to every other member, the reference of chats.
#include "rest.h"
#include "server.h"

static int members[MOST_DESCRIPTORS], many;

static void welcome(int poll, int peer) {
    watch(poll, peer, EPOLLIN, EPOLL_CTL_ADD);
    members[many++] = peer;
}

static void leave(int peer) {
    for (int i = 0; i < many; i++)
        if (members[i] == peer) members[i--] = members[--many];
    forget(peer);
    close(peer);
}

// Whether the member is still there.
static int say(int poll, int peer) {
    static char block[BLOCK];
    ssize_t got = recv(peer, block, sizeof block, 0);
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return 0;
    // Whoever is gone is noticed when its own socket says so.
    for (int i = 0; i < many; i++)
        if (members[i] != peer) give(poll, members[i], block, (size_t)got);
    return 1;
}

static void serve(int poll, int peer, uint32_t events) {
    int stays = !(events & EPOLLOUT) || give_rest(poll, peer);
    if (stays && events & ~(uint32_t)EPOLLOUT) stays = say(poll, peer);
    if (!stays) leave(peer);
}

int main(int count, char **words) {
    if (count != 2) usage("chat PORT");
    serve_all(words[1]);
}
