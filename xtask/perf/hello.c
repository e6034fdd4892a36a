// hello PORT: says "Hello, world!" over HTTP/1.1, kept alive and pipelined: the reference of HTTP servers.
#include "server.h"

static const char REPLY[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!";

enum { LENGTH = sizeof REPLY - 1, REPLIES = 64, TAIL = 3 };

// Since all replies are alike, what is owed is a number of bytes, of which the last ends a reply.
struct client {
    size_t owed;
    // The end of what came last, which may be the beginning of an empty line.
    char tail[TAIL];
    size_t tail_length;
};

static struct client clients[MOST_DESCRIPTORS];
static char replies[REPLIES * LENGTH];

// Sends what goes now. False says that the client is gone.
static int answer(int poll, int peer) {
    struct client *client = &clients[peer];
    while (client->owed) {
        size_t from = (LENGTH - client->owed % LENGTH) % LENGTH;
        size_t length = sizeof replies - from < client->owed ? sizeof replies - from : client->owed;
        ssize_t sent = send(peer, replies + from, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return 0;
        if (sent < 0) {
            watch(poll, peer, EPOLLOUT, EPOLL_CTL_MOD);
            return 1;
        }
        client->owed -= (size_t)sent;
    }
    return 1;
}

// Counts the requests, which have no bodies, by their empty lines.
static int hear(int peer) {
    static char block[TAIL + BLOCK];
    struct client *client = &clients[peer];
    memcpy(block, client->tail, client->tail_length);
    ssize_t got = recv(peer, block + client->tail_length, BLOCK, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    char *from = block, *end = block + client->tail_length + got, *line;
    while ((line = memmem(from, (size_t)(end - from), "\r\n\r\n", 4))) {
        client->owed += LENGTH;
        from = line + 4;
    }
    if (end - from > TAIL) from = end - TAIL;
    client->tail_length = (size_t)(end - from);
    memcpy(client->tail, from, client->tail_length);
    return 1;
}

static void serve(int poll, int peer, uint32_t events) {
    if (events & EPOLLOUT) watch(poll, peer, EPOLLIN, EPOLL_CTL_MOD);
    if ((events & EPOLLOUT || hear(peer)) && answer(poll, peer)) return;
    clients[peer] = (struct client){0};
    close(peer);
}

static void welcome(int poll, int peer) { watch(poll, peer, EPOLLIN, EPOLL_CTL_ADD); }

int main(int count, char **words) {
    if (count != 2) usage("hello PORT");
    for (int i = 0; i < REPLIES; i++) memcpy(replies + i * LENGTH, REPLY, LENGTH);
    serve_all(words[1]);
}
