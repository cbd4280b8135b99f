/*
 * The access tokens of a config file: what they may say, and what the server answers when they say
 * something else. Messages are compared whole, as in test_config.c.
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <string.h>

#include "server/config.h"
#include "tests/scratch.h"

#define SUM_A "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SUM_B "cb8379ac2098aa165029e3938a51da0bcecfc008fd6795f401178647f96c5b34"
#define SUM_OF_NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ALLOWED_SUM "the 64 hex digits that printf %s \"$secret\" | sha256sum prints"
#define HOW_AN_ENTRY "- {name: shop, sha256: SUM, scope: read}"

static char errmsg[CAIRN_CONFIG_ERRMSG_BYTES];

/* Loads the text as a scratch_file(); the config stays for the caller. "" or the message. */
static const char *load(cairn_config_t *config, const char *yaml)
{
    scratch_write(yaml, strlen(yaml));
    errmsg[0] = '\0';
    cairn_config_init(config);
    if (cairn_config_load(config, scratch_file(), errmsg, sizeof(errmsg)))
        return "";
    CU_ASSERT_NOT_EQUAL(errmsg[0], '\0');
    return scratch_bare(errmsg);
}

static const char *outcome(const char *yaml)
{
    cairn_config_t config;
    const char *message = load(&config, yaml);
    cairn_config_dispose(&config);
    return message;
}

static void the_tokens_of_a_file_arrive(void)
{
    cairn_config_t config;

    CU_ASSERT_TRUE(same(load(&config, "auth:\n"
                                      "  tokens:\n"
                                      "    - name: a\n"
                                      "      sha256: " SUM_A "\n"
                                      "      scope: read\n"
                                      "    - {prefix: \"shop/\", scope: admin, name: Shop-1_x.y,\n"
                                      "       sha256: CB8379AC2098AA165029E3938A51DA0B"
                                      "CECFC008FD6795F401178647F96C5B34}\n"),
                        ""));
    CU_ASSERT_EQUAL_FATAL(config.token_count, 2);
    CU_ASSERT_STRING_EQUAL(config.tokens[0].name, "a");
    CU_ASSERT_EQUAL(config.tokens[0].scope, CAIRN_SCOPE_READ);
    CU_ASSERT_PTR_NULL(config.tokens[0].prefix);
    CU_ASSERT_EQUAL(memcmp(config.tokens[0].sum, "\xba\x78\x16\xbf", 4), 0);
    CU_ASSERT_EQUAL(config.tokens[0].sum[31], 0xad);
    CU_ASSERT_EQUAL(config.tokens[0].line, 3);
    CU_ASSERT_STRING_EQUAL(config.tokens[1].name, "Shop-1_x.y");
    CU_ASSERT_EQUAL(config.tokens[1].scope, CAIRN_SCOPE_ADMIN);
    CU_ASSERT_STRING_EQUAL(config.tokens[1].prefix, "shop/");
    CU_ASSERT_EQUAL(memcmp(config.tokens[1].sum, "\xcb\x83\x79\xac", 4), 0);
    cairn_config_dispose(&config);
    CU_ASSERT_TRUE(same(outcome("auth:\n"), ""));
    CU_ASSERT_TRUE(same(outcome("auth:\n  tokens:\n"), ""));
    CU_ASSERT_TRUE(same(outcome("auth: {tokens: []}\n"), ""));
}

/* Loads one token whose keys these are, on line 3. */
static const char *token(const char *keys)
{
    char yaml[4096];

    snprintf(yaml, sizeof(yaml), "auth:\n  tokens:\n    - {%s}\n", keys);
    return outcome(yaml);
}

static void a_token_that_is_none_is_refused(void)
{
    char keys[2600], name[66] = "", prefix[2050] = "";

    CU_ASSERT_TRUE(same(token("name: a, sha256: " SUM_A ", scope: root"),
                        "c.yaml:3: auth.tokens.scope: \"root\" is not a scope; "
                        "write read, write or admin"));
    CU_ASSERT_TRUE(same(token("name: a, sha256: " SUM_A),
                        "c.yaml:3: auth.tokens.scope: is missing; write read, write or admin"));
    CU_ASSERT_TRUE(same(token("sha256: " SUM_A ", scope: read"),
                        "c.yaml:3: auth.tokens.name: is missing; "
                        "write 1 to 64 letters, digits, - _ ."));
    CU_ASSERT_TRUE(same(token("name: \"a b\", sha256: " SUM_A ", scope: read"),
                        "c.yaml:3: auth.tokens.name: \"a b\" has other characters than are "
                        "allowed; write 1 to 64 letters, digits, - _ ."));
    CU_ASSERT_TRUE(same(token("name: \"\", sha256: " SUM_A ", scope: read"),
                        "c.yaml:3: auth.tokens.name: \"\" is empty; "
                        "write 1 to 64 letters, digits, - _ ."));
    memset(name, 'n', 64);
    snprintf(keys, sizeof(keys), "name: %s, sha256: " SUM_A ", scope: read", name);
    CU_ASSERT_TRUE(same(token(keys), ""));
    memset(name, 'n', 65);
    snprintf(keys, sizeof(keys), "name: %s, sha256: " SUM_A ", scope: read", name);
    CU_ASSERT_PTR_NOT_NULL(strstr(token(keys), "is too long; write 1 to 64 letters"));
    CU_ASSERT_TRUE(same(token("name: a, sha256: " SUM_A ", scope: read, prefix: \"\""),
                        "c.yaml:3: auth.tokens.prefix: \"\" is empty; write the bytes that its "
                        "keys begin with (1 to 2048), or leave prefix out for all keys"));
    memset(prefix, 'p', 2048);
    snprintf(keys, sizeof(keys), "name: a, sha256: " SUM_A ", scope: read, prefix: %s", prefix);
    CU_ASSERT_TRUE(same(token(keys), ""));
    memset(prefix, 'p', 2049);
    snprintf(keys, sizeof(keys), "name: a, sha256: " SUM_A ", scope: read, prefix: %s", prefix);
    CU_ASSERT_PTR_NOT_NULL(strstr(token(keys), "is longer than a key can be; write"));
}

static void a_sum_that_is_none_is_refused_without_repeating_it(void)
{
    CU_ASSERT_TRUE(same(token("name: a, sha256: my-secret, scope: read"),
                        "c.yaml:3: auth.tokens.sha256: is not a SHA-256 sum: 9 characters, 0 hex "
                        "digits at its front; write " ALLOWED_SUM));
    CU_ASSERT_TRUE(same(token("name: a, sha256: " SUM_A "0, scope: read"),
                        "c.yaml:3: auth.tokens.sha256: is not a SHA-256 sum: 65 characters, 65 "
                        "hex digits at its front; write " ALLOWED_SUM));
    CU_ASSERT_TRUE(same(token("name: a, sha256: \"\", scope: read"),
                        "c.yaml:3: auth.tokens.sha256: is not a SHA-256 sum: 0 characters, 0 hex "
                        "digits at its front; write " ALLOWED_SUM));
    CU_ASSERT_TRUE(same(token("name: a, scope: read"),
                        "c.yaml:3: auth.tokens.sha256: is missing; write " ALLOWED_SUM));
    CU_ASSERT_TRUE(same(token("name: a, sha256: " SUM_OF_NOTHING ", scope: read"),
                        "c.yaml:3: auth.tokens.sha256: is the sum of an empty secret; "
                        "write " ALLOWED_SUM));
}

static void tokens_are_told_apart(void)
{
    CU_ASSERT_TRUE(same(outcome("auth:\n  tokens:\n"
                                "    - {name: a, sha256: " SUM_A ", scope: read}\n"
                                "    - {name: b, sha256: " SUM_B ", scope: read}\n"),
                        ""));
    CU_ASSERT_TRUE(same(outcome("auth:\n  tokens:\n"
                                "    - {name: a, sha256: " SUM_A ", scope: read}\n"
                                "    - {name: a, sha256: " SUM_B ", scope: read}\n"),
                        "c.yaml:4: auth.tokens.name: is the same name as the token on line 3; "
                        "each needs its own"));
    CU_ASSERT_TRUE(same(outcome("auth:\n  tokens:\n"
                                "    - {name: a, sha256: " SUM_A ", scope: read}\n"
                                "    - name: b\n"
                                "      sha256: " SUM_A "\n"
                                "      scope: write\n"),
                        "c.yaml:5: auth.tokens.sha256: is the same sum as the token on line 3; "
                        "each needs its own"));
}

static void a_list_of_tokens_of_the_wrong_kind_is_refused(void)
{
    CU_ASSERT_TRUE(same(outcome("auth: yes\n"),
                        "c.yaml:1: auth: is a section, not a value; its keys are tokens"));
    CU_ASSERT_TRUE(same(outcome("auth:\n  tokens: a\n"),
                        "c.yaml:2: auth.tokens: is a list, not a value; "
                        "write its entries below, each as " HOW_AN_ENTRY));
    CU_ASSERT_TRUE(same(outcome("auth:\n  tokens: {name: a}\n"),
                        "c.yaml:2: auth.tokens: is a list, not a section; "
                        "write its entries below, each as " HOW_AN_ENTRY));
    CU_ASSERT_TRUE(same(outcome("auth:\n  tokens:\n    - a\n"),
                        "c.yaml:3: auth.tokens: an entry is written " HOW_AN_ENTRY
                        ", not as a value"));
    CU_ASSERT_TRUE(same(token("name: a, sha256: " SUM_A ", scope: [read]"),
                        "c.yaml:3: auth.tokens.scope: is a value, not a list"));
    CU_ASSERT_TRUE(same(token("name: a, sha256: " SUM_A ", scop: read"),
                        "c.yaml:3: there is no key \"scop\" in auth.tokens; did you mean scope? "
                        "the keys here are name, sha256, scope, prefix"));
    CU_ASSERT_TRUE(same(token("name: a, name: b, sha256: " SUM_A ", scope: read"),
                        "c.yaml:3: auth.tokens.name: is set twice, first on line 3; keep one"));
    CU_ASSERT_TRUE(same(outcome("auth:\n  token:\n"),
                        "c.yaml:2: there is no key \"token\" in auth; did you mean tokens? "
                        "the keys here are tokens"));
}

static void tokens_are_no_flags(void)
{
    static const char *const keys[] = {"auth", "auth.tokens", "auth.tokens.name"};
    cairn_config_t config;

    cairn_config_init(&config);
    for (size_t i = 0; i != 3; ++i) {
        CU_ASSERT_FALSE(cairn_config_set(&config, keys[i], "x", errmsg, sizeof(errmsg)));
        CU_ASSERT_TRUE(same(errmsg,
                            "access tokens are not set by flags, which every user of the machine "
                            "can see; write them under auth.tokens in the file of --config"));
    }
    cairn_config_dispose(&config);
}

void suite_config_tokens(void)
{
    CU_pSuite s = CU_add_suite("config_tokens", scratch_make, scratch_remove);

    CU_add_test(s, "the tokens of a file arrive", the_tokens_of_a_file_arrive);
    CU_add_test(s, "a token with a wrong or missing key is refused",
                a_token_that_is_none_is_refused);
    CU_add_test(s, "a sum that is none is refused, and not repeated",
                a_sum_that_is_none_is_refused_without_repeating_it);
    CU_add_test(s, "two tokens with one name or one sum are refused", tokens_are_told_apart);
    CU_add_test(s, "a list of tokens that is none is refused",
                a_list_of_tokens_of_the_wrong_kind_is_refused);
    CU_add_test(s, "tokens cannot be set by flags", tokens_are_no_flags);
}
