/* SPDX-License-Identifier: MIT */
/* Stands in for drover in the tests of the fleet: `engine --describe` and `engine --socket`, with the habits that the "model" asks for. A model is
 * a text of words: describe=ok|bad|foreign|crash|hang|garbage|flood, anon=BYTES, run=ok|exit|never|slow|stubborn|flood|spill|show|eat|fail:N. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char text[4096];

static const char *option(int argc, char **argv, const char *name)
{
    size_t n = strlen(name);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=')
            return argv[i] + n + 1;
        if (strcmp(argv[i], name) == 0 && i + 1 < argc)
            return argv[i + 1];
    }
    return NULL;
}

static const char *word(const char *key, const char *def)
{
    static char buf[256];
    char *p = strstr(text, key);
    if (p == NULL)
        return def;
    p += strlen(key);
    snprintf(buf, sizeof buf, "%.*s", (int)strcspn(p, " \n"), p);
    return buf;
}

static void flood(void)
{
    static char line[1000];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (;;)
        if (write(2, line, sizeof line) < 0)
            _exit(1);
}

/* More and more memory, as far as it goes. */
static void eat(void)
{
    unsigned n = 0;
    while (n < 4096 && malloc(16 << 20) != NULL)
        n += 16;
    fprintf(stderr, "no more after %u MiB\n", n);
    exit(7);
}

static int describe(int argc, char **argv)
{
    char how[32];
    const char *anon = word("anon=", "1000000");
    char bytes[32];
    snprintf(bytes, sizeof bytes, "%s", anon);
    snprintf(how, sizeof how, "%s", word("describe=", "ok"));
    if (strcmp(how, "crash") == 0)
        raise(SIGKILL); /* a sanitizer would catch any other */
    if (strcmp(how, "hang") == 0)
        pause();
    if (strcmp(how, "flood") == 0)
        flood();
    if (strcmp(how, "garbage") == 0) {
        puts("{\"usable\":true,\"native\":\x01{{{");
        return 0;
    }
    if (strcmp(how, "bad") == 0) {
        puts("{\"usable\":false,\"native\":false,\"problem\":\"not a GGUF\\u001b[31m file\",\"plans\":[]}");
        return 0;
    }
    printf("{\"usable\":true,\"native\":%s,\"problem\":\"%s\",\"architecture\":\"test\",\"parameters\":7,\"plans\":[",
           strcmp(how, "foreign") == 0 ? "false" : "true",
           strcmp(how, "foreign") == 0 ? "architecture 'test' is not known" : "");
    int n = 0;
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "--plan=", 7) == 0)
            printf("%s{\"anonymous_bytes\":%s}", n++ > 0 ? "," : "", bytes);
    puts("]}");
    return 0;
}

/* How often it was started with this model. */
static int starts(const char *model)
{
    char path[4096];
    struct stat st = {0};
    snprintf(path, sizeof path, "%s.starts", model);
    FILE *f = fopen(path, "a");
    fputc('x', f);
    fclose(f);
    stat(path, &st);
    return (int)st.st_size;
}

/* What it was given: environment, descriptors, group, folder. */
static void show(int argc, char **argv)
{
    extern char **environ;
    char cwd[256];
    for (char **e = environ; *e != NULL; e++)
        fprintf(stderr, "env %s\n", *e);
    for (int i = 0; i < argc; i++)
        fprintf(stderr, "arg %s\n", argv[i]);
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.' && atoi(e->d_name) > 2 && atoi(e->d_name) != dirfd(d))
            fprintf(stderr, "fd %s\n", e->d_name);
    closedir(d);
    fprintf(stderr, "own group %d, folder %s\n", getpgrp() == getpid(), getcwd(cwd, sizeof cwd));
    fprintf(stderr, "line with \x1b[31m colour and \xff\n");
}

static int listen_at(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0 || listen(fd, 64) != 0) {
        perror("listen");
        exit(1);
    }
    return fd;
}

static int serve(const char *path, int status)
{
    int fd = listen_at(path);
    for (;;) {
        char buf[4096];
        int c = accept(fd, NULL, NULL);
        if (c < 0)
            return 1;
        if (read(c, buf, sizeof buf) > 0) {
            int n =
                snprintf(buf, sizeof buf, "HTTP/1.1 %d X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", status);
            if (write(c, buf, (size_t)n) < 0)
                perror("write");
        }
        close(c);
    }
}

static int run(int argc, char **argv)
{
    const char *own = option(argc, argv, "--socket"), *socket_path = own != NULL ? own : option(argc, argv, "--host"),
               *model = option(argc, argv, "--model");
    char how[64];
    snprintf(how, sizeof how, "%s", word("run=", "ok"));
    int n = starts(model);
    if (strcmp(how, "exit") == 0 || (strncmp(how, "fail:", 5) == 0 && n <= atoi(how + 5))) {
        fprintf(stderr, "no luck today\n");
        return 3;
    }
    if (strcmp(how, "slow") == 0)
        usleep(300000);
    if (strcmp(how, "show") == 0)
        show(argc, argv);
    if (strcmp(how, "eat") == 0)
        eat();
    if (strcmp(how, "stubborn") == 0)
        signal(SIGTERM, SIG_IGN);
    if (strcmp(how, "spill") == 0) /* a child of its own that goes on writing when it is gone */
        if (fork() == 0)
            flood();
    if (strcmp(how, "flood") == 0 && fork() == 0)
        flood();
    return serve(socket_path, strcmp(how, "never") == 0 ? 503 : 200);
}

int main(int argc, char **argv)
{
    const char *model = option(argc, argv, "--model");
    FILE *f = model != NULL ? fopen(model, "r") : NULL;
    if (f == NULL) {
        fprintf(stderr, "no model\n");
        return 1;
    }
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    if (argc > 2 && strcmp(argv[2], "--describe") == 0)
        return describe(argc, argv);
    return run(argc, argv);
}
