/* SPDX-License-Identifier: MIT */
/* Which models there are: files that come, change and go, what is no model, what cannot be read, orders, another configuration, remotes and
 * llama-servers. */
#include "fleet_util.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static fu t;

static int setup(void **state)
{
    fu_begin(&t);
    return 0;
}

static int teardown(void **state)
{
    fu_end(&t);
    return 0;
}

/* ---- the folder ---- */

static bool add_name(void *arg, const dv_model_info *m)
{
    dv_buf_printf(arg, "%s ", m->name);
    return true;
}

static const char *list(void)
{
    static char text[1024];
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_fleet_models(t.fleet, add_name, &b);
    snprintf(text, sizeof text, "%s", dv_buf_str(&b));
    dv_buf_fini(&b);
    return text;
}

#define LISTS(text) FU_UNTIL(&t, strcmp(list(), text) == 0)

static void path_of(char out[256], const char *name) { snprintf(out, 256, "%s/%s", t.models, name); }

static void files_come_and_go(void **state)
{
    char path[256];
    fu_use a;
    fu_open(&t, "");
    assert_string_equal(list(), "");
    fu_model(&t, "b.gguf", "", 0); /* nobody says anything: the folder is watched */
    LISTS("b ");
    fu_model(&t, "a.GGUF", "", 0);
    LISTS("a b ");
    assert_true(fu_info(&t, "").m.is_default && strcmp(fu_info(&t, "").m.name, "a") == 0);
    assert_true(fu_info(&t, "b.gguf").m.from_folder);
    assert_int_equal(fu_get(&t, &a, "b"), 0);
    path_of(path, "b.gguf");
    unlink(path);
    LISTS("a ");
    fu_pass(&t, 50);
    assert_int_equal(fu_state(&t, "b"), DV_INSTANCE_READY); /* as long as it is used */
    assert_string_equal(dv_use_model(a.use), "b");
    dv_use_release(&a.use, DV_USE_OK);
    FU_UNTIL(&t, !fu_instance(&t, "b").found);
    dv_err err = {0};
    assert_int_equal(fu_ask(&t, &a, "b", 1, &err), DV_ENOENT);
}

static void folder_comes_late(void **state)
{
    assert_int_equal(rmdir(t.models), 0);
    fu_open(&t, "");
    assert_string_equal(list(), "");
    assert_int_equal(mkdir(t.models, 0700), 0);
    fu_model(&t, "a.gguf", "", 0);
    dv_fleet_rescan(t.fleet);
    LISTS("a ");
    fu_model(&t, "b.gguf", "", 0); /* it is watched now */
    LISTS("a b ");
}

static void what_is_no_model(void **state)
{
    char path[256], other[256];
    fu_model(&t, "ok.gguf", "", 0);
    fu_model(&t, "text.txt", "", 0);
    fu_model(&t, ".hidden.gguf", "", 0);
    fu_model(&t, "-flag.gguf", "", 0);
    fu_model(&t, "quo\"te.gguf", "", 0);
    fu_model(&t, "two\nlines.gguf", "", 0);
    path_of(path, "link.gguf");
    path_of(other, "ok.gguf");
    assert_int_equal(symlink(other, path), 0);
    path_of(path, "out.gguf");
    assert_int_equal(symlink("/etc/passwd", path), 0);
    path_of(path, "folder.gguf");
    assert_int_equal(mkdir(path, 0700), 0);
    path_of(path, "fifo.gguf");
    assert_int_equal(mkfifo(path, 0600), 0);
    fu_open(&t, "");
    fu_pass(&t, 50);
    assert_string_equal(list(), "ok ");
}

static void split_files_are_one(void **state)
{
    fu_model(&t, "big-00001-of-00003.gguf", "", 1000);
    fu_model(&t, "big-00002-of-00003.gguf", "", 2000);
    fu_model(&t, "big-00003-of-00003.gguf", "", 3000);
    fu_model(&t, "odd-00003-of-00002.gguf", "", 0);
    fu_model(&t, "rest-00002-of-00002.gguf", "", 0);
    fu_open(&t, "");
    assert_string_equal(list(), "big odd-00003-of-00002 ");
    assert_int_equal(fu_info(&t, "big").m.file_bytes, 6000);
    assert_true(fu_info(&t, "big.gguf").found && fu_info(&t, "big-00001-of-00003.gguf").found);
    fu_use_once(&t, "big");
}

/* A download: not shown while it cannot be read and still changes; then shown as what it is. */
static void downloads(void **state)
{
    char path[256];
    fu_use a;
    dv_err err = {0};
    fu_open(&t, "");
    path_of(path, "new.gguf");
    FILE *f = fopen(path, "w");
    fputs("describe=bad ", f);
    fflush(f);
    fu_pass(&t, 300);
    assert_string_equal(list(), "");
    if (fu_ask(&t, &a, "new", 1, &err) == 0) { /* it has not been looked at yet: whoever names it waits for that */
        FU_UNTIL(&t, a.called);
        assert_int_equal(a.code, DV_EIO);
        dv_use_release(&a.use, DV_USE_OK);
    }
    rewind(f);
    fputs("describe=ok    ", f);
    fclose(f);
    LISTS("new ");
    fu_use_once(&t, "new");
    path_of(path, "broken.gguf"); /* it never becomes readable: after a while that is shown */
    f = fopen(path, "w");
    fputs("describe=bad", f);
    fclose(f);
    LISTS("broken new ");
    assert_string_equal(fu_info(&t, "broken").problem, "not a GGUF\\x1b[31m file");
    assert_int_equal(fu_get(&t, &a, "broken"), DV_EIO);
    assert_non_null(strstr(a.err.msg, "not a GGUF"));
    dv_use_release(&a.use, DV_USE_OK);
}

/* Another file under the same name is another model: it replaces the old one when that is idle. */
static void file_is_replaced(void **state)
{
    fu_use a;
    fu_model(&t, "m.gguf", "anon=1000000", 1000000);
    fu_open(&t, "");
    assert_int_equal(fu_get(&t, &a, "m"), 0);
    int pid = fu_instance(&t, "m").info.pid;
    fu_model(&t, "m.gguf", "anon=3000000", 1000000);
    FU_UNTIL(&t, fu_info(&t, "m").m.estimate_bytes == 4000000);
    assert_int_equal(fu_instance(&t, "m").info.pid, pid);
    dv_use_release(&a.use, DV_USE_OK);
    FU_UNTIL(&t, fu_instance(&t, "m").info.pid != pid);
    fu_use_once(&t, "m");
    assert_int_equal(fu_instance(&t, "m").info.estimate_bytes, 4000000);
    assert_int_equal(t.n_crashes, 0);
}

/* ---- files that are not what they should be ---- */

static void hostile_files(void **state)
{
    static const char *const names[] = {"crash", "garbage", "bad", "foreign", "hang", "flood"};
    fu_use u;
    char file[64], text[64];
    for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
        snprintf(file, sizeof file, "%s.gguf", names[i]);
        snprintf(text, sizeof text, "describe=%s", names[i]);
        fu_model(&t, file, text, 0);
    }
    fu_model(&t, "ok.gguf", "", 0);
    fu_open(&t, "  start_time: 1s\nupstream:\n  program: /nowhere/llama-server\n");
    for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
        assert_int_equal(fu_get(&t, &u, names[i]), DV_EIO);
        assert_true(strlen(u.err.msg) > 10);
        dv_use_release(&u.use, DV_USE_OK);
        assert_int_equal(fu_instance(&t, names[i]).info.starts, 0);
        assert_true(strlen(fu_info(&t, names[i]).problem) > 5);
    }
    assert_non_null(strstr(fu_info(&t, "crash").problem, "signal"));
    assert_non_null(strstr(fu_info(&t, "hang").problem, "too long"));
    assert_string_equal(fu_info(&t, "foreign").problem, "architecture 'test' is not known");
    assert_string_equal(fu_info(&t, "ok").problem, "");
    fu_use_once(&t, "ok");
}

/* ---- orders ---- */

typedef struct done {
    unsigned n;
    int code;
} done;

static void on_done(void *arg, int code, const dv_err *err)
{
    done *d = arg;
    d->n++;
    d->code = code;
}

static void load_and_unload(void **state)
{
    done d = {0};
    dv_err err = {0};
    fu_use a;
    fu_model(&t, "m.gguf", "", 0);
    fu_model(&t, "bad.gguf", "run=exit", 0);
    fu_open(&t, "defaults:\n  keep_alive: 50ms\n");
    assert_int_equal(dv_fleet_load(t.fleet, "nothing", -1, false, on_done, &d, &err), DV_ENOENT);
    assert_int_equal(dv_fleet_load(t.fleet, "m", -1, true, on_done, &d, NULL), 0);
    assert_int_equal(d.n, 0);
    FU_UNTIL(&t, d.n == 1);
    assert_int_equal(d.code, 0);
    fu_pass(&t, 150);
    assert_int_equal(fu_state(&t, "m"), DV_INSTANCE_READY); /* pinned by order */
    assert_int_equal(dv_fleet_load(t.fleet, "bad", -1, false, on_done, &d, NULL), 0);
    FU_UNTIL(&t, d.n == 2);
    assert_int_equal(d.code, DV_EIO);
    assert_int_equal(fu_get(&t, &a, "m"), 0);
    assert_int_equal(dv_fleet_unload(t.fleet, "m", false, on_done, &d, NULL), 0);
    fu_pass(&t, 50);
    assert_int_equal(d.n, 2); /* its answer is not finished */
    assert_int_equal(fu_state(&t, "m"), DV_INSTANCE_DRAINING);
    dv_use_release(&a.use, DV_USE_OK);
    FU_UNTIL(&t, d.n == 3);
    assert_int_equal(fu_state(&t, "m"), DV_INSTANCE_STOPPED);
    assert_int_equal(dv_fleet_unload(t.fleet, "m", false, on_done, &d, NULL), 0);
    FU_UNTIL(&t, d.n == 4); /* there was nothing to do */
    assert_int_equal(fu_get(&t, &a, "m"), 0);
    assert_int_equal(dv_fleet_unload(t.fleet, "m", true, on_done, &d, NULL), 0);
    FU_UNTIL(&t, d.n == 5); /* whoever has it sees the connection end */
    dv_use_release(&a.use, DV_USE_LOST);
    assert_int_equal(dv_fleet_unload(t.fleet, "nothing", false, NULL, NULL, &err), DV_ENOENT);
}

static void switches(void **state)
{
    done d = {0};
    fu_model(&t, "a.gguf", "", 0);
    fu_model(&t, "b.gguf", "", 0);
    fu_open(&t, "");
    fu_use_once(&t, NULL);
    assert_string_equal(dv_fleet_resolve(t.fleet, ""), "a");
    assert_int_equal(dv_fleet_switch(t.fleet, "b", -1, on_done, &d, NULL), 0);
    assert_string_equal(dv_fleet_resolve(t.fleet, NULL), "a"); /* until the other one is ready */
    FU_UNTIL(&t, d.n == 1);
    assert_int_equal(d.code, 0);
    assert_string_equal(dv_fleet_resolve(t.fleet, NULL), "b");
    FU_UNTIL(&t, fu_state(&t, "a") == DV_INSTANCE_STOPPED);
    assert_int_equal(fu_state(&t, "b"), DV_INSTANCE_READY);
}

/* ---- another configuration ---- */

static void configure(const char *text)
{
    dv_conf *new = fu_conf(&t, text);
    dv_conf_close(&t.old);
    t.old = t.conf;
    t.conf = new;
    dv_fleet_configure(t.fleet, t.conf);
    dv_conf_close(&t.old); /* nothing of it is used any more */
}

static void configuration_changes(void **state)
{
    fu_use a;
    fu_model(&t, "m.gguf", "", 0);
    fu_model(&t, "n.gguf", "", 0);
    fu_open(&t, "models:\n  - path: m.gguf\n    name: one\n    aliases: [uno, eins]\n");
    assert_string_equal(list(), "n one ");
    assert_int_equal(fu_get(&t, &a, "uno"), 0);
    assert_string_equal(dv_use_model(a.use), "one");
    int pid = fu_instance(&t, "one").info.pid;
    configure("models:\n  - path: m.gguf\n    name: one\n    keep_alive: forever\n"); /* the same process will do */
    fu_pass(&t, 50);
    assert_int_equal(fu_instance(&t, "one").info.pid, pid);
    assert_null(dv_fleet_resolve(t.fleet, "uno"));
    configure(
        "profiles:\n  - name: mine\nmodels:\n  - path: m.gguf\n    name: one\n    context: 1234\n"); /* it will not */
    fu_pass(&t, 50);
    assert_int_equal(fu_instance(&t, "one").info.pid, pid);
    dv_use_release(&a.use, DV_USE_OK);
    FU_UNTIL(&t, fu_instance(&t, "one").info.pid != pid);
    fu_use_once(&t, "one");
    assert_int_equal(fu_get(&t, &a, "n"), 0);
    configure(""); /* its name is gone; the file has its own again */
    assert_string_equal(list(), "m n ");
    dv_use_release(&a.use, DV_USE_OK);
    FU_UNTIL(&t, !fu_instance(&t, "one").found);
    fu_use_once(&t, "m");
    assert_int_equal(t.n_crashes, 0);
}

/* ---- other backends ---- */

static void llama_server(void **state)
{
    fu_use a;
    char text[512];
    fu_model(&t, "x.gguf", "describe=foreign anon=1000000 run=show", 1000000);
    snprintf(text, sizeof text, "upstream:\n  program: %s\n  flags: [--some-flag]\ndefaults:\n  gpu_layers: 7\n",
             DV_FLEET_CHILD);
    fu_open(&t, text);
    assert_int_equal(fu_get(&t, &a, "x"), 0);
    assert_int_equal(dv_use_backend(a.use), DV_CONF_BACKEND_UPSTREAM);
    assert_int_equal(strlen(dv_use_target(a.use)->bearer), 48);
    FU_UNTIL(&t, fu_logged(&t, "colour"));
    assert_true(fu_logged(&t, "arg --some-flag"));
    assert_true(fu_logged(&t, "arg --n-gpu-layers"));
    char key[128];
    snprintf(key, sizeof key, "env LLAMA_API_KEY=%s", dv_use_target(a.use)->bearer);
    assert_true(fu_logged(&t, key));
    snprintf(key, sizeof key, "arg %s", dv_use_target(a.use)->bearer);
    assert_false(fu_logged(&t, key)); /* command lines are everybody's to read */
    dv_use_release(&a.use, DV_USE_OK);
    assert_true(fu_instance(&t, "x").info.estimate_bytes > 2000000);
}

/* Servers that somebody else runs: one that answers, one that does not, one that is not there. */
static void remotes(void **state)
{
    fu_use a;
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    char text[1024], key[128];
    int mute = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(mute, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(mute, 8), 0);
    assert_int_equal(getsockname(mute, (struct sockaddr *)&sa, &len), 0);
    fu_open_loop(&t);
    snprintf(key, sizeof key, "%s/key", t.dir);
    FILE *f = fopen(key, "w");
    fputs("sesame\n", f);
    fclose(f);
    snprintf(text, sizeof text,
             "models:\n  - name: r\n    url: http://127.0.0.1:%u/v1\n    key_file: %s\n    aliases: [also]\n"
             "  - name: mute\n    url: http://127.0.0.1:%u/v1\n    remote_name: gpt\n"
             "  - name: gone\n    url: http://127.0.0.1:1/v1\nremote:\n  connect_time: 100ms\n",
             t.port, key, ntohs(sa.sin_port));
    fu_open(&t, text);
    assert_int_equal(fu_get(&t, &a, "also"), 0);
    assert_string_equal(t.asked, "/v1/models Bearer sesame");
    assert_string_equal(dv_use_remote_name(a.use), "r"); /* it does not know our alias */
    assert_int_equal(dv_use_backend(a.use), DV_CONF_BACKEND_REMOTE);
    assert_string_equal(dv_use_target(a.use)->bearer, "sesame");
    assert_null(dv_use_target(a.use)->socket);
    t.remote_status = 500;
    dv_use_release(&a.use, DV_USE_LOST);
    FU_UNTIL(&t, fu_instance(&t, "r").info.crashes == 0 && strstr(fu_instance(&t, "r").last_error, "500") != NULL);
    t.remote_status = 401; /* whatever it thinks of our key: it is there */
    fu_use_once(&t, "r");
    assert_int_equal(fu_get(&t, &a, "gone"), DV_EIO);
    dv_use_release(&a.use, DV_USE_OK);
    assert_int_equal(fu_get(&t, &a, "mute"), DV_EIO);
    dv_use_release(&a.use, DV_USE_OK);
    fu_find m = fu_info(&t, "r");
    assert_int_equal(m.m.backend, DV_CONF_BACKEND_REMOTE);
    assert_null(m.m.path);
    assert_int_equal(fu_instance(&t, "r").info.pid, 0);
    assert_false(fu_logged(&t, "sesame"));
    close(mute);
    dv_fleet_unload(t.fleet, "r", false, NULL, NULL, NULL);
    FU_UNTIL(&t, !fu_instance(&t, "r").found);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(files_come_and_go), T(folder_comes_late),     T(what_is_no_model), T(split_files_are_one),
        T(downloads),         T(file_is_replaced),      T(hostile_files),    T(load_and_unload),
        T(switches),          T(configuration_changes), T(llama_server),     T(remotes),
    };
    dv_json_use_mem();
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
