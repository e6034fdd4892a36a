// files PORT FOLDER: a folder's files over HTTP/1.1 with sendfile, the reference of file servers. It serves one request
// at a time for each connection, and believes what it is asked: it is for loopback, and for files that do not change.
#include "server.h"
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

enum { HEAD = 4096 };

struct client {
    char head[HEAD];
    size_t length;
    int file;
    off_t from, size;
};

static struct client *clients[MOST_DESCRIPTORS];
static int folder;

// Sends of the file what goes now. False says that the client is gone.
static int continue_file(int poll, int peer) {
    struct client *client = clients[peer];
    while (client->from < client->size) {
        ssize_t sent = sendfile(peer, client->file, &client->from, (size_t)(client->size - client->from));
        if (sent == 0 || (sent < 0 && errno != EAGAIN)) return 0;
        if (sent < 0) {
            watch(poll, peer, EPOLLOUT, EPOLL_CTL_MOD);
            return 1;
        }
    }
    close(client->file);
    client->file = -1;
    return 1;
}

// "GET /NAME HTTP/1.1" begins the head.
static int answer(int poll, int peer) {
    struct client *client = clients[peer];
    char name[256], head[128];
    struct stat facts;
    if (sscanf(client->head, "GET /%255s", name) != 1 || strstr(name, "..")) return 0;
    client->file = openat(folder, name, O_RDONLY);
    if (client->file < 0 || fstat(client->file, &facts)) return 0;
    client->from = 0;
    client->size = facts.st_size;
    int length = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\n", (long long)facts.st_size);
    // The head leaves with the first bytes of the file.
    if (send(peer, head, (size_t)length, MSG_NOSIGNAL | MSG_MORE) != length) return 0;
    return continue_file(poll, peer);
}

static int hear(int poll, int peer) {
    struct client *client = clients[peer];
    ssize_t got = recv(peer, client->head + client->length, HEAD - 1 - client->length, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    client->length += (size_t)got;
    client->head[client->length] = 0;
    if (!strstr(client->head, "\r\n\r\n")) return client->length < HEAD - 1;
    client->length = 0;
    return answer(poll, peer);
}

static void leave(int peer) {
    if (clients[peer]->file >= 0) close(clients[peer]->file);
    free(clients[peer]);
    close(peer);
}

static void serve(int poll, int peer, uint32_t events) {
    int writes = !!(events & EPOLLOUT);
    if (writes) watch(poll, peer, EPOLLIN, EPOLL_CTL_MOD);
    if (!(writes ? continue_file(poll, peer) : hear(poll, peer))) leave(peer);
}

static void welcome(int poll, int peer) {
    clients[peer] = allocate(sizeof *clients[peer]);
    clients[peer]->file = -1;
    watch(poll, peer, EPOLLIN, EPOLL_CTL_ADD);
}

int main(int count, char **words) {
    if (count != 3) usage("files PORT FOLDER");
    folder = open(words[2], O_RDONLY | O_DIRECTORY);
    if (folder < 0) fail(words[2]);
    // sendfile has no flag for it.
    signal(SIGPIPE, SIG_IGN);
    serve_all(words[1]);
}
