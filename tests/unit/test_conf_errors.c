/* SPDX-License-Identifier: MIT */
/* What is refused, and what people are told: the place, the option, the value, what was probably meant. */
#include "conf_util.h"

#include <stdlib.h>
#include <unistd.h>

typedef struct refusal {
    const char *text, *says;
} refusal;

static void check_files(const refusal *cases, size_t n, int code)
{
    for (size_t i = 0; i < n; i++) {
        const dv_conf_input in = cu_input(cases[i].text);
        assert_string_equal(cu_refused_input(&in, code), cases[i].says);
    }
}

static void keys(void **state)
{
    static const refusal cases[] = {
        {"limit:\n  requests: 5\n", "drover.yaml:1:1: unknown key 'limit', did you mean 'limits'?"},
        {"limits:\n  request: 5\n", "drover.yaml:2:3: unknown key 'request' in limits, did you mean 'requests'?"},
        {"log: {level: info}\nlimits:\n  window: 1m\n  frobnicate: 1\n",
         "drover.yaml:4:3: unknown key 'frobnicate' in limits"},
        {"models:\n  - path: a\n    treads: 2\n",
         "drover.yaml:3:5: unknown key 'treads' in models.*, did you mean 'threads'?"},
        {"limits.requests: 5\n",
         "drover.yaml:1:1: unknown key 'limits.requests': write 'limits:' and the rest below it, indented"},
        {"models.*.path: x\n",
         "drover.yaml:1:1: unknown key 'models.*.path': write 'models:' and the rest below it, indented"},
        {"'*': x\n", "drover.yaml:1:1: unknown key '*'"},
        {"limits: {'a\\b': 1}\n", "drover.yaml:1:10: unknown key 'a\\b' in limits"},
        {"zzz: 1\n", "drover.yaml:1:1: unknown key 'zzz'"},
        {"log: {level: info}\nlog: {format: json}\n",
         "drover.yaml:2:1: 'log' is here for the second time, the first is at 1:1"},
        {"log: {level: info, level: warn}\n",
         "drover.yaml:1:20: 'level' is here for the second time, the first is at 1:7"},
    };
    check_files(cases, DV_ARRAY_LEN(cases) - 2, DV_EINVAL);
    check_files(cases + DV_ARRAY_LEN(cases) - 2, 2, DV_EFORMAT);
}

static void shapes(void **state)
{
    static const refusal cases[] = {
        {"5\n", "drover.yaml:1:1: the file must be sections and 'name: value' lines"},
        {"- a\n", "drover.yaml:1:1: the file must be sections and 'name: value' lines"},
        {"limits: 5\n", "drover.yaml:1:9: limits must be a section: its values are lines below it, indented"},
        {"limits: [5]\n", "drover.yaml:1:9: limits must be a section: its values are lines below it, indented"},
        {"data_dir: {a: b}\n", "drover.yaml:1:11: data_dir must be one value, not a section"},
        {"data_dir:\n  - a\n", "drover.yaml:2:3: data_dir must be one value, not a list"},
        {"data_dir:\n", "drover.yaml:1:10: data_dir has no value; without the line it has its default"},
        {"data_dir: ~\n", "drover.yaml:1:11: data_dir has no value; without the line it has its default"},
        {"limits:\n  requests: null\n",
         "drover.yaml:2:13: limits.requests has no value; without the line it has its default"},
        {"models: {a: {path: x}}\n",
         "drover.yaml:1:9: models must be a list: '- ' in front of the first line of each element"},
        {"models: x\n", "drover.yaml:1:9: models must be a list: '- ' in front of the first line of each element"},
        {"models: [x]\n", "drover.yaml:1:10: models must be a list of sections, '- name: ...'"},
        {"listeners:\n  - [a]\n", "drover.yaml:2:5: listeners must be a list of sections, '- name: ...'"},
        {"security: {allowed_hosts: a}\n",
         "drover.yaml:1:27: security.allowed_hosts must be a list: [A, B], or a line '- A' for each"},
        {"security: {allowed_hosts: {a: b}}\n",
         "drover.yaml:1:27: security.allowed_hosts must be a list: [A, B], or a line '- A' for each"},
        {"security:\n  allowed_hosts:\n    - a\n    - [b]\n",
         "drover.yaml:4:7: security.allowed_hosts must be a list of texts"},
        {"security: {allowed_hosts: [a, ~]}\n", "drover.yaml:1:31: security.allowed_hosts must be a list of texts"},
    };
    check_files(cases, DV_ARRAY_LEN(cases), DV_EINVAL);
}

static void values(void **state)
{
    static const refusal cases[] = {
        {"insecure: maybe\n", "drover.yaml:1:11: insecure must be true or false, not 'maybe'"},
        {"insecure: 2\n", "drover.yaml:1:11: insecure must be true or false, not '2'"},
        {"defaults:\n  threads: many\n",
         "drover.yaml:2:12: defaults.threads must be a whole number from 0 to 256 or auto, not 'many'"},
        {"defaults:\n  threads: 257\n",
         "drover.yaml:2:12: defaults.threads must be a whole number from 0 to 256 or auto, not '257'"},
        {"defaults:\n  threads: 1.5\n",
         "drover.yaml:2:12: defaults.threads must be a whole number from 0 to 256 or auto, not '1.5'"},
        {"defaults: {threads: -1}\n",
         "drover.yaml:1:21: defaults.threads must be a whole number from 0 to 256 or auto, not '-1'"},
        {"defaults: {threads: ''}\n",
         "drover.yaml:1:21: defaults.threads must be a whole number from 0 to 256 or auto, not ''"},
        {"defaults: {threads: 80abc}\n",
         "drover.yaml:1:21: defaults.threads must be a whole number from 0 to 256 or auto, not '80abc'"},
        {"defaults: {threads: 18446744073709551617}\n",
         "drover.yaml:1:21: defaults.threads must be a whole number from 0 to 256 or auto, not '18446744073709551617'"},
        {"defaults: {gpu_layers: --1}\n",
         "drover.yaml:1:24: defaults.gpu_layers must be a whole number from -1 to 10000 or auto, not '--1'"},
        {"defaults: {top_p: 0}\n", "drover.yaml:1:19: defaults.top_p must be a number above 0 and up to 1, not '0'"},
        {"defaults: {top_p: 1.01}\n",
         "drover.yaml:1:19: defaults.top_p must be a number above 0 and up to 1, not '1.01'"},
        {"defaults: {temperature: nan}\n",
         "drover.yaml:1:25: defaults.temperature must be a number from 0 to 100, not 'nan'"},
        {"defaults: {temperature: '1,5'}\n",
         "drover.yaml:1:25: defaults.temperature must be a number from 0 to 100, not '1,5'"},
        {"profiles: [{name: a b}]\n",
         "drover.yaml:1:19: profiles.0.name has 'a b', which is no name of a profile: up to 32 letters, digits, _ and -"},
        {"limits: {body_size: 32MB}\n",
         "drover.yaml:1:21: limits.body_size must be a size such as 512MiB from 1KiB to 1GiB, not '32MB'"},
        {"limits: {body_size: 2GiB}\n",
         "drover.yaml:1:21: limits.body_size must be a size such as 512MiB from 1KiB to 1GiB, not '2GiB'"},
        {"residency: {memory: 99999999TiB}\n",
         "drover.yaml:1:21: residency.memory must be a size such as 512MiB from 0B to 64TiB or auto, not '99999999TiB'"},
        {"limits: {window: 60}\n",
         "drover.yaml:1:18: limits.window must be a time such as 30s from 1s to 365d, not '60'"},
        {"limits: {window: 999ms}\n",
         "drover.yaml:1:18: limits.window must be a time such as 30s from 1s to 365d, not '999ms'"},
        {"limits: {window: 1 }\n",
         "drover.yaml:1:18: limits.window must be a time such as 30s from 1s to 365d, not '1'"},
        {"limits: {window: 1M}\n",
         "drover.yaml:1:18: limits.window must be a time such as 30s from 1s to 365d, not '1M'"},
        {"audit: {keep: 1h}\n",
         "drover.yaml:1:15: audit.keep must be a time such as 30s of at least 1d or forever, not '1h'"},
        {"log: {level: loud}\n", "drover.yaml:1:14: log.level must be one of error|warn|info|debug, not 'loud'"},
        {"log: {level: INFO}\n", "drover.yaml:1:14: log.level must be one of error|warn|info|debug, not 'INFO'"},
        {"listen: {openai: localhost}\n",
         "drover.yaml:1:18: listen.openai must be HOST:PORT, [IPV6]:PORT, unix:PATH or off, not 'localhost'"},
        {"listen: {openai: ':8081'}\n",
         "drover.yaml:1:18: listen.openai must be HOST:PORT, [IPV6]:PORT, unix:PATH or off, not ':8081'"},
        {"listen: {openai: '::1:8081'}\n",
         "drover.yaml:1:18: listen.openai must be HOST:PORT, [IPV6]:PORT, unix:PATH or off, not '::1:8081'"},
        {"listen: {openai: '[a]:8081'}\n",
         "drover.yaml:1:18: listen.openai must be HOST:PORT, [IPV6]:PORT, unix:PATH or off, not '[a]:8081'"},
        {"listen: {openai: 'a:65536'}\n",
         "drover.yaml:1:18: listen.openai must be HOST:PORT, [IPV6]:PORT, unix:PATH or off, not 'a:65536'"},
        {"listen: {openai: 'a b:1'}\n",
         "drover.yaml:1:18: listen.openai must be HOST:PORT, [IPV6]:PORT, unix:PATH or off, not 'a b:1'"},
        {"listen: {openai: 'unix:'}\n",
         "drover.yaml:1:18: listen.openai must be HOST:PORT, [IPV6]:PORT, unix:PATH or off, not 'unix:'"},
        {"listen: {openai: '256.0.0.1:1'}\n",
         "drover.yaml:1:18: listen.openai must be HOST:PORT, [IPV6]:PORT, unix:PATH or off, not '256.0.0.1:1'"},
        {"listeners: [{api: openai}, {address: x}]\n",
         "drover.yaml:1:38: listeners.1.address must be HOST:PORT, [IPV6]:PORT, unix:PATH or off, not 'x'"},
        {"security:\n  allowed_hosts:\n    - good.example\n    - bad host\n",
         "drover.yaml:4:7: security.allowed_hosts has 'bad host', which is no host name or address"},
        {"security: {allowed_origins: ['https://a/']}\n",
         "drover.yaml:1:30: security.allowed_origins has 'https://a/', which is no origin such as https://app.example:8443"},
        {"security: {trusted_proxies: [10.0.0.1/8]}\n",
         "drover.yaml:1:30: security.trusted_proxies has '10.0.0.1/8', which is no address or network such as 10.0.0.0/8 (bits beyond the prefix are 0)"},
        {"models: [{path: a, name: ../x}]\n",
         "drover.yaml:1:26: models.0.name has '../x', which is no name of a model: up to 128 letters, digits and ._:/@+- between them"},
        {"models: [{path: a, aliases: [b, 'a b']}]\n",
         "drover.yaml:1:33: models.0.aliases has 'a b', which is no name of a model: up to 128 letters, digits and ._:/@+- between them"},
        {"models: [{url: 'ftp://x', name: x}]\n",
         "drover.yaml:1:16: models.0.url has 'ftp://x', which is no URL such as https://api.example/v1 (no user, query or fragment)"},
        {"models: [{name: x, url: 'https://x', key_env: 1A}]\n",
         "drover.yaml:1:47: models.0.key_env has '1A', which is no name of a variable"},
        {"upstream: {flags: ['--port=1']}\n",
         "drover.yaml:1:20: upstream.flags has '--port=1', which is for drover to set"},
        {"redis: {url: 'redis:secret'}\n",
         "drover.yaml:1:14: redis.url is no URL such as redis://:PASSWORD@HOST:6379/0"},
    };
    check_files(cases, DV_ARRAY_LEN(cases), DV_EINVAL);
}

/* Long values are cut in messages, lists and elements are bounded. */
static void sizes(void **state)
{
    char text[65536] = "";
    dv_conf_input in = cu_input(text);
    snprintf(text, sizeof text, "log: {level: %0200d}\n", 0);
    in.len = strlen(text);
    const char *says = cu_refused_input(&in, DV_EINVAL);
    assert_non_null(strstr(says, ", not '0000"));
    assert_non_null(strstr(says, "000...'"));
    assert_true(strlen(says) < 200);

    size_t n = (size_t)snprintf(text, sizeof text, "security:\n  allowed_hosts: [h0");
    for (int i = 1; i < 257; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, ",h%d", i);
    snprintf(text + n, sizeof text - n, "]\n");
    in.len = strlen(text);
    assert_string_equal(cu_refused_input(&in, DV_EINVAL),
                        "drover.yaml:2:18: security.allowed_hosts has more than 256 elements");

    n = (size_t)snprintf(text, sizeof text, "models:\n");
    for (int i = 0; i < 257; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "  - {path: m%d}\n", i);
    in.len = n;
    assert_string_equal(cu_refused_input(&in, DV_ELIMIT), "drover.yaml:258:5: there are more than 256 models");
    n = (size_t)snprintf(text, sizeof text, "listeners:\n");
    for (int i = 0; i < 65; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "  - address: 127.0.0.1:%d\n", i + 1);
    in.len = n;
    assert_string_equal(cu_refused_input(&in, DV_ELIMIT), "drover.yaml:66:5: there are more than 64 listeners");
}

static void rules(void **state)
{
    static const refusal cases[] = {
        {"limits:\n  body_size: 512MiB\n",
         "drover.yaml:2:14: limits.body_size must not be more than limits.bodies_size"},
        {"limits:\n  bodies_size: 1MiB\n",
         "drover.yaml:2:16: limits.bodies_size must not be less than limits.body_size"},
        {"supervision: {backoff_min: 1m}\n",
         "drover.yaml:1:28: supervision.backoff_min must not be more than supervision.backoff_max"},
        {"security: {session_time: 1h}\n",
         "drover.yaml:1:26: security.session_time must not be less than security.session_idle"},

        {"tls: {cert: c}\n", "drover.yaml:1:13: tls.cert needs key beside it"},
        {"tls: {key: k}\n", "drover.yaml:1:12: tls.key needs cert beside it"},
        {"listeners: [{address: '127.0.0.1:1', tls_cert: c}]\n",
         "drover.yaml:1:48: listeners.0.tls_cert needs tls_key beside it"},
        {"listeners: [{address: '127.0.0.1:1', tls_key: k}]\n",
         "drover.yaml:1:47: listeners.0.tls_key needs tls_cert beside it"},
        {"listeners:\n  - api: openai\n",
         "drover.yaml:2:5: listeners.0.address must be given, as HOST:PORT, [IPV6]:PORT or unix:PATH"},
        {"listeners: [{address: off}]\n",
         "drover.yaml:1:23: listeners.0.address must be given, as HOST:PORT, [IPV6]:PORT or unix:PATH"},
        {"listeners: [{address: 'unix:/s', tls_cert: c, tls_key: k}]\n",
         "drover.yaml:1:23: listeners.0.address is a unix socket: there is no TLS on it"},
        {"listeners: [{address: '127.0.0.1:3001'}]\n", "listen.app is listened on already"},
        {"listen:\n  app: 127.0.0.1:8081\n", "drover.yaml:2:8: listen.app is listened on already"},
        {"listen: {app: 'unix:/s', chroma: 'unix:/s'}\n", "drover.yaml:1:34: listen.chroma is listened on already"},
        {"listen: {app: 0.0.0.0:3001}\n",
         "drover.yaml:1:15: listen.app can be reached from other machines: set tls.cert and tls.key, or say --insecure"},
        {"listeners: [{address: '[::]:1'}]\n",
         "drover.yaml:1:23: listeners.0.address can be reached from other machines: set tls.cert and tls.key, or say --insecure"},
        {"listen: {app: 'my.example:1'}\n",
         "drover.yaml:1:15: listen.app can be reached from other machines: set tls.cert and tls.key, or say --insecure"},
        {"listen: {openai: off, app: off, websocket: off, chroma: off}\n",
         "drover.yaml:1:18: listen.openai must not be off when everything else is: there is nothing to listen on"},

        {"models:\n  - name: a\n", "drover.yaml:2:5: models.0.path or url must be given"},
        {"models: [{path: a, url: 'http://localhost:1'}]\n", "drover.yaml:1:25: models.0.url and path are both given"},
        {"models: [{path: a, backend: remote}]\n",
         "drover.yaml:1:29: models.0.backend is remote, which needs a url, not a path"},
        {"models: [{name: a, url: 'http://localhost:1', backend: native}]\n",
         "drover.yaml:1:56: models.0.backend must be remote for a url"},
        {"models:\n  - url: http://localhost:1\n", "drover.yaml:2:5: models.0.name must be given for a url"},
        {"models: [{path: 'My Model.gguf'}]\n",
         "drover.yaml:1:10: models.0.name must be given: the file's name cannot be one"},
        {"models: [{name: a, url: 'https://api.example/v1'}]\n",
         "drover.yaml:1:25: models.0.url is at a server that is not among remote.allow"},
        {"remote: {allow: ['https://api.example:8443', 'http://api.example']}\nmodels: [{name: a, url: 'https://api.example/v1'}]\n",
         "drover.yaml:2:25: models.0.url is at a server that is not among remote.allow"},
        {"remote: {allow: ['http://api.example']}\nmodels: [{name: a, url: 'http://api.example', key_env: K}]\n",
         "drover.yaml:2:25: models.0.url must be https: a key is not sent in the clear"},
        {"models: [{name: a, url: 'http://localhost:8081/v1'}]\n",
         "drover.yaml:1:25: models.0.url is this server itself"},
        {"insecure: true\nlisten: {openai: '0.0.0.0:9'}\nmodels: [{name: a, url: 'http://127.9.9.9:9'}]\n",
         "drover.yaml:3:25: models.0.url is this server itself"},
        {"models: [{path: a, key_env: K}]\n", "drover.yaml:1:29: models.0.key_env is for models with a url"},
        {"models: [{path: a, key_file: K}]\n", "drover.yaml:1:30: models.0.key_file is for models with a url"},
        {"models: [{path: a, remote_name: K}]\n", "drover.yaml:1:33: models.0.remote_name is for models with a url"},
        {"models: [{name: a, url: 'http://localhost:1', key_env: K, key_file: k}]\n",
         "drover.yaml:1:69: models.0.key_file and key_env are both given"},
        {"models: [{name: a, url: 'http://localhost:1', chat_template: k}]\n",
         "drover.yaml:1:62: models.0.chat_template is for models with a path"},
        {"models: [{path: a, backend: native, upstream_flags: [--x]}]\n",
         "drover.yaml:1:53: models.0.upstream_flags is for models whose backend is upstream or auto"},
        {"models: [{path: a}, {path: x/a.gguf}]\n",
         "drover.yaml:1:21: models.1.name has 'a', which is the name of another one already"},
        {"models: [{path: a}, {path: b, name: a}]\n",
         "drover.yaml:1:37: models.1.name has 'a', which is the name of another one already"},
        {"models: [{path: a}, {path: b, aliases: [c, a]}]\n",
         "drover.yaml:1:40: models.1.aliases has 'a', which is the name of another one already"},
        {"models: [{path: a, aliases: [b, b]}]\n",
         "drover.yaml:1:29: models.0.aliases has 'b', which is the name of another one already"},
        {"models: [{path: a, aliases: [a]}]\n",
         "drover.yaml:1:29: models.0.aliases has 'a', which is the name of another one already"},
        {"upstream: {program: bin/llama-server}\n",
         "drover.yaml:1:21: upstream.program must be an absolute path, or a name without a slash"},
        {"models: [{path: a}, {path: b, upstream_program: ./x}]\n",
         "drover.yaml:1:49: models.1.upstream_program must be an absolute path, or a name without a slash"},
        {"models: [{path: a, backend: native, upstream_program: x}]\n",
         "drover.yaml:1:55: models.0.upstream_program is for models whose backend is upstream or auto"},
        {"run_dir: /a23456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789\n",
         "drover.yaml:1:10: run_dir must be a path of up to 82 bytes: sockets are in it"},
        {"defaults: {profile: fats}\n",
         "drover.yaml:1:21: defaults.profile has 'fats', which is no profile, did you mean 'fast'?"},
        {"defaults: {profile: ''}\n",
         "drover.yaml:1:21: defaults.profile has '', which is no profile; `drover profiles` lists them"},
        {"profiles: [{name: mine}]\nmodels: [{path: a}, {path: b, profile: min}]\n",
         "drover.yaml:2:40: models.1.profile has 'min', which is no profile, did you mean 'mine'?"},
        {"profiles:\n  - context: 100\n", "drover.yaml:2:5: profiles.0.name must be given"},
        {"profiles: [{name: a}, {name: b}, {name: a}]\n",
         "drover.yaml:1:41: profiles.2.name is 'a' for the second time"},
        {"profiles: [{name: fast}, {name: fast}]\n", "drover.yaml:1:33: profiles.1.name is 'fast' for the second time"},
        {"profiles: [{name: a, base: b}, {name: b}]\n",
         "drover.yaml:1:28: profiles.0.base has 'b', which is no profile; `drover profiles` lists them"},
        {"profiles: [{name: a, base: a}]\n",
         "drover.yaml:1:28: profiles.0.base has 'a', which is no profile; `drover profiles` lists them"},
        {"upstream: {program: ''}\n", "drover.yaml:1:21: upstream.program must not be empty"},
    };
    check_files(cases, DV_ARRAY_LEN(cases), DV_EINVAL);
}

static void allowed_remotes(void **state)
{
    dv_conf *c = cu_open("remote: {allow: ['https://API.example', 'http://plain.example:80']}\n"
                         "models:\n"
                         "  - {name: a, url: 'https://api.example:443/v1/', key_env: K}\n"
                         "  - {name: b, url: 'http://plain.example/x'}\n"
                         "  - {name: c, url: 'http://127.0.0.1:1', key_file: k}\n");
    assert_string_equal(c->models[0].url, "https://api.example:443/v1");
    dv_conf_close(&c);
}

static void variables(void **state)
{
    static const struct {
        const char *line, *says;
        int code;
    } cases[] = {
        {"DROVER_LIMIT_REQUESTS=5", "DROVER_LIMIT_REQUESTS: unknown variable, did you mean DROVER_LIMITS_REQUESTS?",
         DV_EINVAL},
        {"DROVER_FROBNICATE=5", "DROVER_FROBNICATE: unknown variable; those that begin with DROVER_ are for options",
         DV_EINVAL},
        {"DROVER_PORTS=5", "DROVER_PORTS: unknown variable; those that begin with DROVER_ are for options", DV_EINVAL},
        {"DROVER_LIMITS_REQUESTS=x",
         "DROVER_LIMITS_REQUESTS: limits.requests must be a whole number from 0 to 1000000000 or off, not 'x'",
         DV_EINVAL},
        {"LLAMA_CTX_SIZE=63", "LLAMA_CTX_SIZE: defaults.context must be a whole number from 64 to 4194304, not '63'",
         DV_EINVAL},
        {"RATE_LIMIT_WINDOW=0", "RATE_LIMIT_WINDOW: limits.window must be a time such as 30s from 1s to 365d, not '0s'",
         DV_EINVAL},
        {"DROVER_LIMITS_WINDOW=60",
         "DROVER_LIMITS_WINDOW: limits.window must be a time such as 30s from 1s to 365d, not '60'", DV_EINVAL},
        {"SECURITY_AUDIT_ENABLED=maybe", "SECURITY_AUDIT_ENABLED: audit.enabled must be true or false, not 'maybe'",
         DV_EINVAL},
        {"DROVER_DATA_DIR=\xff", "DROVER_DATA_DIR: data_dir is not UTF-8, or has control characters", DV_EINVAL},
        {"DROVER_DATA_DIR=/a\n/b", "DROVER_DATA_DIR: data_dir is not UTF-8, or has control characters", DV_EINVAL},
        {"DROVER_DATA_DIR=~/x", "DROVER_DATA_DIR: data_dir begins with ~, and HOME is not set", DV_EINVAL},
        {"DROVER_REDIS_URL=http://:secret@x",
         "DROVER_REDIS_URL: redis.url is no URL such as redis://:PASSWORD@HOST:6379/0", DV_EINVAL},
        {"DROVER_MODELS_1_PATH=/a", "DROVER_MODELS_1_PATH: there is no element 0: they are counted from 0 without gaps",
         DV_EINVAL},
        {"DROVER_MODELS_N_PATH=/a", "DROVER_MODELS_N_PATH: unknown variable: N stands for a number", DV_EINVAL},
        {"DROVER_MODELS_0_PAHT=/a", "DROVER_MODELS_0_PAHT: unknown variable, did you mean DROVER_MODELS_N_PATH?",
         DV_EINVAL},
        {"DROVER_MODELS_00000_PATH=/a",
         "DROVER_MODELS_00000_PATH: unknown variable; those that begin with DROVER_ are for options", DV_EINVAL},
        {"DROVER_MODELS_0_THREADS=x",
         "DROVER_MODELS_0_THREADS: models.0.threads must be a whole number from 0 to 256 or auto, not 'x'", DV_EINVAL},
        {"DROVER_MODELS_0_NAME=a", "DROVER_MODELS_0_NAME: models.0.path or url must be given", DV_EINVAL},
        {"LLAMA_SERVER_URL=localhost:8081",
         "LLAMA_SERVER_URL: model_url has 'localhost:8081', which is no URL such as https://api.example/v1 (no user, query or fragment)",
         DV_EINVAL},
        {"LLAMA_SERVER_URL=http://10.1.1.1:8081",
         "LLAMA_SERVER_URL: models.0.url is at a server that is not among remote.allow", DV_EINVAL},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
        const char *const env[] = {cases[i].line, NULL};
        const dv_conf_input in = {.env = env, .text = "", .dir = "/cwd"};
        assert_string_equal(cu_refused_input(&in, cases[i].code), cases[i].says);
    }
}

static void flags(void **state)
{
    static const struct {
        dv_conf_flag flag;
        const char *says;
    } cases[] = {
        {{"log.level", "x", "--log-level"}, "--log-level: log.level must be one of error|warn|info|debug, not 'x'"},
        {{"log.levle", "x", "--set"}, "--set: unknown option 'log.levle', did you mean 'log.level'?"},
        {{"frobnicate", "x", "--set"}, "--set: unknown option 'frobnicate'"},
        {{"models.*.path", "x", "--set"}, "--set: unknown option 'models.*.path': * stands for a number"},
        {{"models.1.path", "x", "--set"},
         "--set: there is no element 0 before 'models.1.path': they are counted from 0"},
        {{"models.99999.path", "x", "--set"}, "--set: unknown option 'models.99999.path'"},
        {{"models.0.pth", "x", "--set"}, "--set: unknown option 'models.0.pth', did you mean 'models.*.path'?"},
        {{"limits", "x", "--set"}, "--set: unknown option 'limits'"},
        {{"data_dir", "a\033b", "--data-dir"}, "--data-dir: data_dir is not UTF-8, or has control characters"},
        {{"model", "x y.gguf", "-m"}, "-m: models.0.name must be given: the file's name cannot be one"},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
        const dv_conf_input in = {.flags = &cases[i].flag, .n_flags = 1, .text = "", .dir = "/cwd"};
        assert_string_equal(cu_refused_input(&in, DV_EINVAL), cases[i].says);
    }
    static char longer[DV_CONF_TEXT_MAX + 2];
    memset(longer, 'x', sizeof longer - 1);
    const dv_conf_flag flag = {"data_dir", longer, "--data-dir"};
    const dv_conf_input in = {.flags = &flag, .n_flags = 1, .text = ""};
    assert_string_equal(cu_refused_input(&in, DV_EINVAL), "--data-dir: data_dir is longer than 4096 bytes");
}

static void files(void **state)
{
    char path[] = "/tmp/drover-conf-XXXXXX", says[256];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    assert_non_null(f);
    fputs("log:\n  level: x\n", f);
    fclose(f);
    dv_conf_input in = {.file = path};
    snprintf(says, sizeof says, "%s:2:10: log.level must be one of error|warn|info|debug, not 'x'", path);
    assert_string_equal(cu_refused_input(&in, DV_EINVAL), says);

    f = fopen(path, "w"); /* exactly as much as may be, then one more */
    assert_non_null(f);
    for (int i = 0; i < DV_CONF_FILE_MAX; i++)
        fputc(i % 64 == 63 ? '\n' : '#', f);
    fclose(f);
    dv_conf *c = cu_open_input(&in);
    dv_conf_close(&c);
    f = fopen(path, "a");
    fputc('\n', f);
    fclose(f);
    snprintf(says, sizeof says, "%s: input is larger than 1048576 bytes", path);
    assert_string_equal(cu_refused_input(&in, DV_ELIMIT), says);
    remove(path);
    snprintf(says, sizeof says, "%s: No such file or directory", path);
    assert_string_equal(cu_refused_input(&in, DV_ENOENT), says);
    in.file = "/dev/zero";
    assert_string_equal(cu_refused_input(&in, DV_EINVAL), "/dev/zero: not a regular file");

    /* A long path leaves room for what is wrong. */
    char deep[400];
    memset(deep, 'd', sizeof deep);
    deep[0] = '/';
    deep[sizeof deep - 1] = 0;
    in = cu_input("log: {level: x}\n");
    in.file = deep;
    const char *text = cu_refused_input(&in, DV_EINVAL);
    assert_int_equal(strncmp(text, "...ddd", 6), 0);
    assert_non_null(strstr(text, ":1:14: log.level must be one of error|warn|info|debug, not 'x'"));
}

static void keys_of_remotes(void **state)
{
    char path[] = "/tmp/drover-conf-XXXXXX", text[256], key[32];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    const char *const env[] = {"GOOD= sk-123 ", "TWO=a b",   "LONG=0123456789012345678901234567890123456789",
                               "EMPTY=",        "BLANK= \t", NULL};
    static const struct {
        const char *option, *says;
        int code;
    } cases[] = {
        {"key_env: GOOD", NULL, 0},
        {"key_env: TWO", "TWO: a key is one line of visible ASCII characters", DV_EINVAL},
        {"key_env: LONG", "LONG: a key of more than 31 bytes", DV_ELIMIT},
        {"key_env: EMPTY", "EMPTY: there is no such variable, or nothing in it", DV_ENOENT},
        {"key_env: BLANK", "BLANK: there is no key in it", DV_EINVAL},
        {"key_env: GONE", "GONE: there is no such variable, or nothing in it", DV_ENOENT},
        {"key_file: /no/such/file", "/no/such/file: No such file or directory", DV_ENOENT},
        {"key_file: /dev/zero", "/dev/zero: not a regular file", DV_EINVAL},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
        dv_err err = {0};
        snprintf(text, sizeof text, "models: [{name: a, url: 'http://localhost:1', %s}]\n", cases[i].option);
        dv_conf *c = cu_open(text);
        assert_int_equal(dv_conf_read_key(&c->models[0], env, key, sizeof key, &err), cases[i].code);
        if (cases[i].code == 0)
            assert_string_equal(key, "sk-123");
        else
            assert_string_equal(err.msg, cases[i].says);
        dv_conf_close(&c);
    }
    snprintf(text, sizeof text, "models: [{name: a, url: 'http://localhost:1', key_file: %s}, {path: b}]\n", path);
    dv_conf *c = cu_open(text);
    dv_err err = {0};
    assert_int_equal(write(fd, "  sk-from-file\r\n\n", 17), 17);
    assert_int_equal(dv_conf_read_key(&c->models[0], NULL, key, sizeof key, &err), 0);
    assert_string_equal(key, "sk-from-file");
    assert_int_equal(dv_conf_read_key(&c->models[1], NULL, key, sizeof key, &err), 0);
    assert_string_equal(key, "");
    assert_int_equal(write(fd, "second\n", 7), 7);
    assert_int_equal(dv_conf_read_key(&c->models[0], NULL, key, sizeof key, &err), DV_EINVAL);
    dv_conf_close(&c);
    close(fd);
    remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),      cmocka_unit_test(shapes),
        cmocka_unit_test(values),    cmocka_unit_test(sizes),
        cmocka_unit_test(rules),     cmocka_unit_test(allowed_remotes),
        cmocka_unit_test(variables), cmocka_unit_test(flags),
        cmocka_unit_test(files),     cmocka_unit_test(keys_of_remotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
