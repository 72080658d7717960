/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every file of cunit/fuzz/corpus goes through its fuzz target: what was once found stays
 * fixed, in every build and without the fuzzer.
 */
#include <config.h>

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "testutil.h"

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

START_TEST(corpus)
{
    const struct fuzz_target *target = &fuzz_targets[_i];
    struct buf input = BUF_INITIALIZER;
    struct dirent **files;
    char *dir = test_path(TEST_SRCDIR "/cunit/fuzz/corpus", "%s", target->name);
    int n = scandir(dir, &files, visible, alphasort);

    ck_assert_msg(n > 0, "%s: no seeds", dir);
    fuzz_silence();
    for (int i = 0; i < n; i++) {
        char *path = test_path(dir, "%s", files[i]->d_name);
        test_readfile(path, &input);
        printf("fuzz %s %s\n", target->name, files[i]->d_name);
        fflush(stdout);
        target->run((const uint8_t *)input.s, input.len);
        free(path);
        free(files[i]);
    }
    free(files);
    free(dir);
    buf_free(&input);
}
END_TEST

Suite *fuzz_suite(void)
{
    Suite *s = suite_create("fuzz");
    TCase *tc = tcase_create("corpus");
    int n = 0;

    while (fuzz_targets[n].name) n++;
    tcase_add_loop_test(tc, corpus, 0, n);
    suite_add_tcase(s, tc);
    return s;
}
