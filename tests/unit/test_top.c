/* The parts of `codex-pool top` that need no terminal. */
#include "client/fields.h"
#include "client/top_cells.h"
#include "client/top_layout.h"
#include "client/top_rows.h"
#include "client/top_spark.h"
#include "client/top_ui.h"
#include "tests/unit/unit.h"

#include <locale.h>

static const struct column columns[] = {
    {"ID", 3, 3, 100, true, false},
    {"NAME", 5, 20, 50, false, false},
    {"LEAST", 5, 10, 10, false, false},
    {"WIDE", 6, 30, 80, false, false},
};

static const struct {
    int width, wanted[4], widths[4];
} layouts[] = {
    {100, {1, 8, 2, 9}, {3, 8, 5, 9}},       /* as the content wants, or the title */
    {100, {9, 99, 99, 99}, {3, 20, 10, 30}}, /* no more than most */
    {22, {1, 1, 1, 1}, {3, 5, 5, 6}},        /* the least of all, and three cells between */
    {21, {1, 1, 1, 1}, {3, 5, 0, 6}},        /* the one worth least goes */
    {20, {1, 9, 1, 9}, {3, 6, 0, 9}},        /* the one worth most is widened first */
    {15, {1, 9, 9, 9}, {3, 0, 0, 9}},        {5, {1, 1, 1, 1}, {3, 0, 0, 0}},
    {2, {1, 1, 1, 1}, {0, 0, 0, 0}},
};

START_TEST(columns_fit)
{
    int widths[ARRAY_LEN(columns)];
    layout_columns(columns, ARRAY_LEN(columns), layouts[_i].wanted, layouts[_i].width, widths);
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        ck_assert_msg(widths[i] == layouts[_i].widths[i], "layout %d: column %zu is %d wide", _i, i,
                      widths[i]);
}
END_TEST

/* Whatever is shown is on the screen, and nothing is where something else is. */
START_TEST(rows_do_not_overlap)
{
    struct layout_rows r;
    for (int height = 1; height < 60; height++) {
        for (size_t workers = 0; workers < 40; workers += 3) {
            layout_rows(height, workers, (size_t)_i, &r);
            int end = r.keys >= 0 ? r.keys : height;
            end = r.message >= 0 ? r.message : end;
            end = r.details >= 0 ? r.details : end;
            ck_assert_int_lt(r.keys, height);
            ck_assert(r.worker_rows >= 0 && (size_t)r.worker_rows <= workers);
            ck_assert(r.waiter_rows >= 0 && r.waiter_rows <= _i);
            if (r.workers >= 0)
                ck_assert_int_gt(r.workers, r.sparks);
            if (r.waiters >= 0)
                ck_assert_int_gt(r.waiters, r.workers + r.worker_rows);
            ck_assert_int_lt(r.workers + r.worker_rows, end);
            ck_assert_int_lt(r.waiters + r.waiter_rows, end);
            /* Room for one is not left empty where there are more of either. */
            if (r.waiters >= 0 && r.waiters + r.waiter_rows + 2 < end - (height >= 18))
                ck_assert((size_t)r.worker_rows == workers && r.waiter_rows == _i);
        }
    }
}
END_TEST

START_TEST(half_of_the_room_is_for_each)
{
    struct layout_rows r;
    layout_rows(24, 100, 100, &r);
    ck_assert_int_ge(r.waiter_rows, 5);
    ck_assert_int_le(abs(r.worker_rows - r.waiter_rows), 1);
    int both = r.worker_rows + r.waiter_rows;
    layout_rows(24, 2, 100, &r);
    ck_assert_int_eq(r.worker_rows, 2);
    ck_assert_int_eq(r.waiter_rows, both - 2);
    layout_rows(24, 100, 2, &r);
    ck_assert_int_eq(r.waiter_rows, 2);
    ck_assert_int_eq(r.worker_rows, both - 2);
}
END_TEST

START_TEST(lists_scroll_to_what_is_selected)
{
    ck_assert_uint_eq(layout_scroll(0, 4, 20, 5), 0);
    ck_assert_uint_eq(layout_scroll(0, 5, 20, 5), 1);
    ck_assert_uint_eq(layout_scroll(0, 19, 20, 5), 15);
    ck_assert_uint_eq(layout_scroll(10, 9, 20, 5), 9);
    ck_assert_uint_eq(layout_scroll(10, SIZE_MAX, 20, 5), 10);
    ck_assert_uint_eq(layout_scroll(10, SIZE_MAX, 12, 5), 7);
    ck_assert_uint_eq(layout_scroll(10, SIZE_MAX, 3, 5), 0);
    ck_assert_uint_eq(layout_scroll(3, 2, 20, 0), 3);
}
END_TEST

START_TEST(bars_are_parts_of_the_highest)
{
    struct spark s;
    int levels[SPARK_BARS];
    size_t looked;
    spark_init(&s, SPARK_SUM);
    spark_levels(&s, 3, levels);
    ck_assert(levels[0] == -1 && levels[2] == -1);
    spark_add(&s, 5 * SPARK_BAR_MS, 1);
    spark_add(&s, 5 * SPARK_BAR_MS + 1, 2);
    spark_add(&s, 6 * SPARK_BAR_MS, 0);
    spark_add(&s, 8 * SPARK_BAR_MS, 30); /* nobody looked in between */
    spark_levels(&s, 5, levels);
    static const int wanted[] = {-1, 1, 0, -1, 7};
    ck_assert_mem_eq(levels, wanted, sizeof(wanted));
    ck_assert_double_eq(spark_sum(&s, 3, &looked), 30);
    ck_assert_uint_eq(looked, 2);
    ck_assert_double_eq(spark_sum(&s, SPARK_BARS + 9, &looked), 33);
    ck_assert_uint_eq(looked, 3);
    spark_add(&s, 1000 * SPARK_BAR_MS, 1); /* all of it is old */
    spark_levels(&s, 2, levels);
    ck_assert(levels[0] == -1 && levels[1] == 7);
}
END_TEST

START_TEST(the_highest_in_a_bar_counts)
{
    struct spark s;
    size_t looked;
    spark_init(&s, SPARK_MAX);
    spark_add(&s, 0, 5);
    spark_add(&s, 1, 9);
    spark_add(&s, 2, 7);
    spark_add(&s, 3, -1); /* no less than nothing */
    ck_assert_double_eq(spark_sum(&s, 1, &looked), 9);
}
END_TEST

static const struct {
    const char *text;
    int width;
    enum cells_cut cut;
    const wchar_t *shown;
} cells[] = {
    {"abc", 3, CUT_END, L"abc"},
    {"abcd", 3, CUT_END, L"ab…"},
    {"abcd", 3, CUT_START, L"…cd"},
    {"", 3, CUT_END, L""},
    {"abc", 0, CUT_END, L""},
    {"abc", 1, CUT_END, L"…"},
    {"漢字漢字", 5, CUT_END, L"漢字…"},
    {"漢字漢字", 4, CUT_END, L"漢…"},
    {"漢字漢字", 4, CUT_START, L"…字"},
    {"a\x1b[m\n\x7f\xc2\x85\xff\xe2\x80\xae", 20, CUT_END, L"a?[m???\ufffd?"},
};

START_TEST(text_becomes_cells)
{
    wchar_t to[CELLS_MAX + 1];
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return;
    int filled = cells_fit(cells[_i].text, cells[_i].width, cells[_i].cut, to);
    ck_assert_msg(wcscmp(to, cells[_i].shown) == 0, "%s: %ls", cells[_i].text, to);
    ck_assert_int_eq(filled, wcswidth(to, CELLS_MAX));
    ck_assert_int_le(filled, cells[_i].width);
}
END_TEST

START_TEST(a_long_text_is_cut)
{
    static char text[5 * CELLS_MAX];
    wchar_t to[CELLS_MAX + 1];
    memset(text, 'x', sizeof(text) - 1);
    ck_assert_int_eq(cells_fit(text, 10000, CUT_END, to), CELLS_MAX);
    ck_assert_int_eq(cells_fit(text, 10000, CUT_START, to), CELLS_MAX);
    ck_assert_int_eq(cells_width(text), CELLS_MAX);
}
END_TEST

static void read_status(struct top_model *m, const char *json, enum top_sort sort)
{
    cJSON *status = cJSON_Parse(json);
    ck_assert_ptr_nonnull(status);
    ck_assert_int_eq(top_model_set(m, status, sort), 0);
}

static const char status_text[] =
    "{\"admission\":\"paused\",\"workers\":["
    "{\"id\":3,\"client\":7,\"state\":\"busy\",\"turn\":{\"threadId\":\"t3\",\"runningMs\":50},"
    "\"rssBytes\":5},"
    "{\"id\":1,\"client\":null,\"state\":\"idle\",\"turn\":null,\"rssBytes\":5},"
    "{\"id\":2,\"client\":6,\"state\":\"busy\",\"turn\":{\"threadId\":\"t2\",\"runningMs\":90},"
    "\"rssBytes\":4}],"
    "\"waiters\":[{\"position\":1,\"client\":7,\"id\":\"a\"},{\"position\":2,\"client\":6,\"id\":1}"
    "],"
    "\"clients\":[{\"id\":9,\"name\":null},{\"id\":7,\"name\":\"seven\"},{\"id\":6,\"name\":"
    "\"six\"}]}";

static const struct {
    enum top_sort sort;
    unsigned ids[3];
} orders[] = {
    {SORT_WORKER, {1, 2, 3}}, {SORT_TURN, {2, 3, 1}},   {SORT_SILENT, {1, 2, 3}},
    {SORT_MEMORY, {1, 3, 2}}, {SORT_CLIENT, {2, 3, 1}},
};

START_TEST(workers_are_sorted)
{
    struct top_model m = {0};
    read_status(&m, status_text, orders[_i].sort);
    ck_assert_uint_eq(m.n_workers, 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(m.workers[i].id, orders[_i].ids[i]);
    ck_assert(top_model_paused(&m));
    top_model_clear(&m);
}
END_TEST

START_TEST(clients_have_their_names)
{
    struct top_model m = {0};
    read_status(&m, status_text, SORT_WORKER);
    ck_assert_ptr_null(m.workers[0].client_name);
    ck_assert_str_eq(m.workers[1].client_name, "six");
    ck_assert_str_eq(m.waiters[0].client_name, "seven");
    ck_assert_str_eq(m.waiters[0].id, "\"a\"");
    ck_assert_str_eq(m.waiters[1].id, "1");
    top_model_clear(&m);
}
END_TEST

static const char *const odd[] = {
    "{}",
    "{\"workers\":7,\"waiters\":null,\"clients\":\"x\"}",
    "{\"workers\":[1,null,{}],\"waiters\":[[]],\"clients\":[{},3]}",
    "{\"workers\":[{\"id\":-4,\"client\":1e300,\"turn\":[],\"rssBytes\":\"x\"}]}",
};

START_TEST(what_is_missing_is_none)
{
    struct top_model m = {0};
    struct row row;
    char text[512];
    read_status(&m, odd[_i], SORT_CLIENT);
    for (size_t i = 0; i < m.n_workers; i++) {
        ck_assert_uint_eq(m.workers[i].id, 0);
        top_worker_row(&m.workers[i], &row);
        top_worker_details(&m.workers[i], text, sizeof(text));
        ck_assert_str_eq(row.cells[1], "-");
    }
    for (size_t i = 0; i < m.n_waiters; i++) {
        top_waiter_row(&m.waiters[i], &row);
        top_waiter_details(&m.waiters[i], text, sizeof(text));
        ck_assert_str_eq(row.cells[0], "-");
    }
    top_model_clear(&m);
}
END_TEST

static enum ui_effect press(struct top_ui *ui, struct top_model *m, int key)
{
    return ui_key(ui, m, key);
}

START_TEST(what_is_selected_stays_so)
{
    struct top_model m = {0};
    struct top_ui ui;
    ui_init(&ui);
    read_status(&m, status_text, SORT_WORKER);
    ui_follow(&ui, &m);
    ck_assert_uint_eq(ui_worker(&ui, &m)->id, 1);
    ck_assert_int_eq(press(&ui, &m, UI_KEY_DOWN), UI_DRAW);
    ck_assert_uint_eq(ui_worker(&ui, &m)->id, 2);
    for (int i = 0; i < SORTS; i++) {
        ck_assert_int_eq(press(&ui, &m, 's'), UI_DRAW);
        ck_assert_uint_eq(ui_worker(&ui, &m)->id, 2);
    }
    /* Gone: another in its place. */
    read_status(&m, "{\"workers\":[{\"id\":1},{\"id\":3}]}", ui.sort);
    ui_follow(&ui, &m);
    ck_assert_uint_eq(ui_worker(&ui, &m)->id, 3);
    read_status(&m, "{}", ui.sort);
    ui_follow(&ui, &m);
    ck_assert_ptr_null(ui_worker(&ui, &m));
    ck_assert_ptr_null(ui_waiter(&ui, &m));
    read_status(&m, status_text, ui.sort);
    ck_assert_int_eq(press(&ui, &m, UI_KEY_END), UI_DRAW);
    ck_assert_uint_eq(ui_waiter(&ui, &m)->client, 6);
    /* The one before it is served. */
    read_status(&m, "{\"waiters\":[{\"position\":1,\"client\":6,\"id\":1}]}", ui.sort);
    ui_follow(&ui, &m);
    ck_assert_uint_eq(ui_waiter(&ui, &m)->client, 6);
    ui_deinit(&ui);
    top_model_clear(&m);
}
END_TEST

START_TEST(nothing_is_done_unconfirmed)
{
    struct top_model m = {0};
    struct top_ui ui;
    ui_init(&ui);
    read_status(&m, status_text, SORT_WORKER);
    ck_assert_int_eq(press(&ui, &m, UI_KEY_DOWN), UI_DRAW);
    ck_assert_int_eq(press(&ui, &m, 'y'), UI_DRAW);
    for (const char *key = "ikrp"; *key; key++) {
        ck_assert_int_eq(press(&ui, &m, *key), UI_DRAW);
        ck_assert_int_eq(ui.mode, UI_CONFIRM);
        ck_assert_int_eq(press(&ui, &m, UI_KEY_OTHER), UI_DRAW);
        ck_assert_int_eq(ui.mode, UI_ROWS);
        ck_assert_ptr_null(ui.act.method);
    }
    ck_assert_int_eq(press(&ui, &m, 'i'), UI_DRAW);
    /* What was asked about is what is done, wherever its row is by then. */
    read_status(&m, "{\"workers\":[{\"id\":1},{\"id\":3}]}", SORT_WORKER);
    ui_follow(&ui, &m);
    ck_assert_int_eq(press(&ui, &m, 'y'), UI_ACT);
    ck_assert_str_eq(ui.act.method, "pool/interrupt");
    ck_assert_str_eq(field_text(ui.act.params, "threadId"), "t2");
    ui_deinit(&ui);
    top_model_clear(&m);
}
END_TEST

START_TEST(without_a_daemon_there_is_nothing_to_do)
{
    struct top_model m = {0};
    struct top_ui ui;
    ui_init(&ui);
    for (const char *key = "ikrps"; *key; key++) {
        ck_assert_int_eq(press(&ui, &m, *key), UI_DRAW);
        ck_assert_int_eq(ui.mode, UI_ROWS);
    }
    ck_assert_int_eq(press(&ui, &m, '?'), UI_DRAW);
    ck_assert_int_eq(ui.mode, UI_HELP);
    ck_assert_int_eq(press(&ui, &m, 'q'), UI_DRAW);
    ck_assert_int_eq(press(&ui, &m, 'q'), UI_QUIT);
    ui_deinit(&ui);
}
END_TEST

Suite *suite_top(void)
{
    Suite *suite = suite_create("top");
    TCase *tcase = tcase_create("top");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, columns_fit, 0, ARRAY_LEN(layouts));
    tcase_add_loop_test(tcase, rows_do_not_overlap, 0, 20);
    tcase_add_test(tcase, half_of_the_room_is_for_each);
    tcase_add_test(tcase, lists_scroll_to_what_is_selected);
    tcase_add_test(tcase, bars_are_parts_of_the_highest);
    tcase_add_test(tcase, the_highest_in_a_bar_counts);
    tcase_add_loop_test(tcase, text_becomes_cells, 0, ARRAY_LEN(cells));
    tcase_add_test(tcase, a_long_text_is_cut);
    tcase_add_loop_test(tcase, workers_are_sorted, 0, ARRAY_LEN(orders));
    tcase_add_test(tcase, clients_have_their_names);
    tcase_add_loop_test(tcase, what_is_missing_is_none, 0, ARRAY_LEN(odd));
    tcase_add_test(tcase, what_is_selected_stays_so);
    tcase_add_test(tcase, nothing_is_done_unconfirmed);
    tcase_add_test(tcase, without_a_daemon_there_is_nothing_to_do);
    suite_add_tcase(suite, tcase);
    return suite;
}
