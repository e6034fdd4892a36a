// idle tcp|http|ws|silent PORT MANY: opens that many connections, says a first word on each and hears the answer, unless
// it is to be silent, then prints "ready" and holds them until its input ends.
#include "common.h"

static const struct {
    const char *name, *words;
} FIRST[] = {
    {"silent", ""},
    {"tcp", "x"},
    {"http", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"},
    {"ws", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"},
};

static int open_one(const char *port, const char *words) {
    char block[4096];
    int peer = connect_to(port);
    if (!*words) return peer;
    if (send(peer, words, strlen(words), 0) < 0 || recv(peer, block, sizeof block, 0) <= 0) fail("the first word");
    return peer;
}

int main(int count, char **words) {
    const char *first = NULL;
    for (size_t i = 0; count == 4 && i < sizeof FIRST / sizeof *FIRST; i++)
        if (!strcmp(words[1], FIRST[i].name)) first = FIRST[i].words;
    if (!first) usage("idle tcp|http|ws|silent PORT MANY");
    raise_limit();
    int many = atoi(words[3]);
    int *peers = allocate((size_t)many * sizeof *peers);
    for (int i = 0; i < many; i++) peers[i] = open_one(words[2], first);
    // What came in a second piece would stay in the kernel, and count as the server's.
    char block[4096];
    for (int i = 0; i < many; i++)
        while (recv(peers[i], block, sizeof block, MSG_DONTWAIT) > 0) {
        }
    puts("ready");
    fflush(stdout);
    while (read(0, block, sizeof block) > 0) {
    }
}
