/* A web server in the manner of small C servers: one thread, epoll by level, keep-alive. `epoll_server ADDRESS PORT` */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct client { int fd; size_t length; char text[4096]; };

static void answer(struct client *client) {
    char *end;
    while ((end = memmem(client->text, client->length, "\r\n\r\n", 4))) {
        size_t request = end + 4 - client->text;
        char path[200] = "", reply[1000];
        sscanf(client->text, "%*s %199s", path);
        int length = snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\nyou asked for %s\n",
                              strlen(path) + 15, path);
        for (int sent = 0; sent < length;) {
            ssize_t count = send(client->fd, reply + sent, length - sent, MSG_NOSIGNAL);
            if (count <= 0) return;
            sent += count;
        }
        memmove(client->text, client->text + request, client->length - request);
        client->length -= request;
    }
}

int main(int count, char **arguments) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(count > 2 ? arguments[2] : "80"))};
    inet_aton(count > 1 ? arguments[1] : "0.0.0.0", &address.sin_addr);
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), set = epoll_create1(EPOLL_CLOEXEC);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128)) {
        perror("bind");
        return 1;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[64];
    epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
    puts("listening");
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(set, events, 64, -1);
        for (int index = 0; index < ready; index++) {
            struct client *client = events[index].data.ptr;
            if (!client) {
                int fd;
                while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
                    client = calloc(1, sizeof *client);
                    client->fd = fd;
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                    event.data.ptr = client;
                    epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
                }
                continue;
            }
            ssize_t length = recv(client->fd, client->text + client->length, sizeof client->text - client->length, 0);
            if (length <= 0) {
                close(client->fd);
                free(client);
                continue;
            }
            client->length += length;
            answer(client);
        }
    }
}
