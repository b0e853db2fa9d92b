// echo: the limit of a batched UDP server: receive a batch, set QR in each message, send the batch back.
// echo PORT [OCTETS_ADDED]; every reply is longer than its query by that much, as answers are.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BATCH = 32, ROOM = 4096 };

static uint8_t rooms[BATCH][ROOM];
static struct iovec vectors[BATCH];
static struct sockaddr_in peers[BATCH];
static struct mmsghdr headers[BATCH];

int main(int argc, char **argv) {
  int port = argc > 1 ? atoi(argv[1]) : 5300, added = argc > 2 ? atoi(argv[2]) : 28, octets = 4 << 20;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(fd, (void *)&at, sizeof at)) return 1;
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      vectors[i] = (struct iovec){rooms[i], ROOM - 512};
      headers[i].msg_hdr = (struct msghdr){
          .msg_name = &peers[i], .msg_namelen = sizeof peers[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(fd, headers, BATCH, MSG_WAITFORONE, 0);
    if (count <= 0) continue;
    for (int i = 0; i < count; i++) {
      rooms[i][2] |= 0x80;
      vectors[i].iov_len = headers[i].msg_len + added;
    }
    sendmmsg(fd, headers, count, 0);
  }
}
