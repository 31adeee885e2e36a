/* SPDX-License-Identifier: MIT */
/* Whether the addresses can be listened on, and who has those that cannot. */
#include "base/err.h"
#include "cli/ask.h"
#include "cli/doctor.h"
#include "conf/options.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { HEALTH_S = 3 };

/* ---- who has a port ---- */

/* The socket that listens on the port, in proc/net/tcp or tcp6; 0: none. */
static unsigned long find_socket(const char *root, const char *table, unsigned port, unsigned *uid)
{
    char path[PATH_MAX], line[512];
    unsigned long found = 0;
    snprintf(path, sizeof path, "%s/proc/net/%s", root, table);
    FILE *f = fopen(path, "re");
    while (f != NULL && found == 0 && fgets(line, sizeof line, f) != NULL) {
        unsigned at, state, who;
        unsigned long inode;
        if (sscanf(line, "%*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %u %*u %lu", &at, &state, &who,
                   &inode) == 4 &&
            at == port && state == 0x0a) {
            found = inode;
            *uid = who;
        }
    }
    if (f != NULL)
        fclose(f);
    return found;
}

static bool has_socket(const char *root, const char *pid, unsigned long inode)
{
    char path[PATH_MAX], target[64], wanted[64];
    bool found = false;
    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    snprintf(path, sizeof path, "%s/proc/%s/fd", root, pid);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir != NULL && !found && (e = readdir(dir)) != NULL;) {
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        found = strcmp(target, wanted) == 0;
    }
    if (dir != NULL)
        closedir(dir);
    return found;
}

static void read_name(const char *root, const char *pid, char out[32])
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/proc/%s/comm", root, pid);
    FILE *f = fopen(path, "re");
    if (f == NULL || fgets(out, 32, f) == NULL)
        out[0] = 0;
    out[strcspn(out, "\n")] = 0;
    if (f != NULL)
        fclose(f);
}

bool dv__doctor_owner(const char *root, unsigned port, dv__owner *out)
{
    char path[PATH_MAX];
    *out = (dv__owner){0};
    unsigned long inode = find_socket(root, "tcp", port, &out->uid);
    inode = inode != 0 ? inode : find_socket(root, "tcp6", port, &out->uid);
    if (inode == 0)
        return false;
    snprintf(path, sizeof path, "%s/proc", root);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir != NULL && out->pid == 0 && (e = readdir(dir)) != NULL;)
        if (isdigit((unsigned char)e->d_name[0]) && has_socket(root, e->d_name, inode)) {
            out->pid = atoi(e->d_name);
            read_name(root, e->d_name, out->name);
        }
    if (dir != NULL)
        closedir(dir);
    return true;
}

/* ---- listeners ---- */

typedef struct place {
    const dv_conf_listener *l;
    char option[64]; /**< "listen.app (--listen-app)", "listeners.0.address" */
} place;

static void name_option(place *p, const dv_conf *c, size_t i)
{
    static const char *const names[DV_CONF_API_N] = {"listen.openai", "listen.app", "listen.websocket", "listen.chroma",
                                                     "listen.ollama"};
    const dv_conf_option *o = p->l->shorthand ? dv_conf_option_find(names[p->l->api]) : NULL;
    if (o != NULL)
        snprintf(p->option, sizeof p->option, "%s (--%s)", o->name, o->flag);
    else
        snprintf(p->option, sizeof p->option, "listeners.%zu.address", i); /* shorthands come after the list */
}

/* Whether a drover serve answers there. */
static bool is_drover(const dv_conf_listener *l)
{
    static dv_ask a;
    json_t *reply = NULL;
    dv_err err = {0};
    a = (dv_ask){0};
    bool ok = dv_ask_listener(&a, l, &err) == 0 && dv_ask_send(&a, "/api/health", NULL, HEALTH_S, &reply, &err) == 0 &&
              json_is_object(json_object_get(reply, "checks"));
    json_decref(reply);
    return ok;
}

static void say_taken(dv__doctor *d, const place *p, unsigned port)
{
    dv__owner o = {0};
    const char *at = p->l->address.text;
    bool known = port != 0 && dv__doctor_owner(d->root, port, &o);
    const struct passwd *user = known ? getpwuid(o.uid) : NULL;
    if (is_drover(p->l)) {
        dv__doctor_say(d, DV__FINDING_OK, "%s: a drover serve runs there", at);
        return;
    }
    if (o.pid != 0)
        dv__doctor_say(d, DV__FINDING_PROBLEM, "%s: %s (process %d) has it", at, o.name, o.pid);
    else if (user != NULL)
        dv__doctor_say(d, DV__FINDING_PROBLEM, "%s: a process of %s has it", at, user->pw_name);
    else
        dv__doctor_say(d, DV__FINDING_PROBLEM, "%s: another process has it", at);
    dv__doctor_advise(d, "stop that, or set %s to another address", p->option);
}

static int try_address(const struct addrinfo *ai)
{
    const int on = 1;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (ai->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    int e = bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 ? 0 : errno;
    close(fd);
    return e;
}

/* As listening does it: one address of a name that works is enough, one that is taken is not. */
static int try_all(const struct addrinfo *list)
{
    int first = 0;
    bool works = false;
    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
        int e = try_address(ai);
        if (e == EADDRINUSE)
            return e;
        works |= e == 0;
        first = first != 0 ? first : e;
    }
    return works ? 0 : first;
}

static void check_tcp(dv__doctor *d, const place *p)
{
    const dv_conf_address *a = &p->l->address;
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char port[8];
    snprintf(port, sizeof port, "%u", a->port);
    int rc = getaddrinfo(a->host, port, &hints, &list);
    if (rc != 0) {
        dv__doctor_say(d, DV__FINDING_PROBLEM, "%s: %s", a->text, gai_strerror(rc));
        dv__doctor_advise(d, "set %s to an address of this machine", p->option);
        return;
    }
    int e = try_all(list);
    freeaddrinfo(list);
    if (e == 0) {
        dv__doctor_say(d, DV__FINDING_OK, "%s is free", a->text);
        return;
    }
    if (e == EADDRINUSE) {
        say_taken(d, p, a->port);
        return;
    }
    dv__doctor_say(d, DV__FINDING_PROBLEM, "%s: %s", a->text, strerror(e));
    if (e == EACCES)
        dv__doctor_advise(
            d,
            "only root may listen on ports below 1024: set %s to a higher one, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit",
            p->option);
    else
        dv__doctor_advise(d, "set %s to an address of this machine (ip address shows them)", p->option);
}

static void check_unix(dv__doctor *d, const place *p)
{
    const char *path = p->l->address.path;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct stat st;
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        slash[slash == folder] = 0;
    if (lstat(path, &st) != 0) {
        bool ok = access(folder, W_OK | X_OK) == 0;
        dv__doctor_say(d, ok ? DV__FINDING_OK : DV__FINDING_PROBLEM, "%s%s", p->l->address.text,
                       ok ? " is free" : ": the socket cannot be made in that folder");
        if (!ok)
            dv__doctor_advise(d, "make %s for the user that runs drover serve, or set %s to another path", folder,
                              p->option);
        return;
    }
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    int fd = S_ISSOCK(st.st_mode) ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    int e = fd >= 0 && connect(fd, (const struct sockaddr *)&sa, sizeof sa) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    if (fd < 0) {
        dv__doctor_say(d, DV__FINDING_PROBLEM, "%s: there is a file that is no socket", p->l->address.text);
        dv__doctor_advise(d, "move it away, or set %s to another path", p->option);
    } else if (e == ECONNREFUSED) {
        dv__doctor_say(d, DV__FINDING_OK, "%s: a socket that nobody listens on, which is replaced", p->l->address.text);
    } else {
        say_taken(d, p, 0);
    }
}

void dv__doctor_net(dv__doctor *d)
{
    for (size_t i = 0; i < d->conf->n_listeners; i++) {
        place p = {.l = &d->conf->listeners[i]};
        name_option(&p, d->conf, i);
        if (p.l->address.path != NULL)
            check_unix(d, &p);
        else
            check_tcp(d, &p);
    }
    dv__doctor_redis(d);
}
