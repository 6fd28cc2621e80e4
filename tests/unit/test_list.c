#include "proto/list.h"
#include "tests/unit/unit.h"

struct item {
    int number;
    struct list in_items;
};

/* The numbers on a list, forwards and (as a check of the links) backwards. */
static void ck_list(const struct list *head, const char *want)
{
    char forwards[64] = "", backwards[64] = "", one[8];
    for (const struct list *it = head->next; it != head; it = it->next) {
        (void)snprintf(one, sizeof(one), "%d", list_entry(it, const struct item, in_items)->number);
        strcat(forwards, one);
    }
    for (const struct list *it = head->prev; it != head; it = it->prev) {
        (void)snprintf(one, sizeof(one), "%d", list_entry(it, const struct item, in_items)->number);
        memmove(backwards + 1, backwards, strlen(backwards) + 1);
        backwards[0] = one[0];
    }
    ck_assert_str_eq(forwards, want);
    ck_assert_str_eq(backwards, want);
}

static void fill(struct list *head, struct item *items, int n)
{
    list_init(head);
    for (int i = 0; i < n; i++) {
        items[i].number = i + 1;
        list_append(head, &items[i].in_items);
    }
}

START_TEST(appends_in_order)
{
    struct list head;
    struct item items[3];
    list_init(&head);
    ck_assert(list_empty(&head));
    ck_assert_ptr_null(list_first(&head, struct item, in_items));
    fill(&head, items, 3);
    ck_assert(!list_empty(&head));
    ck_list(&head, "123");
    ck_assert_ptr_eq(list_first(&head, struct item, in_items), &items[0]);
}
END_TEST

START_TEST(removes_anywhere_and_twice)
{
    struct list head;
    struct item items[4];
    fill(&head, items, 4);
    list_remove(&items[1].in_items);
    ck_list(&head, "134");
    ck_assert(list_empty(&items[1].in_items));
    list_remove(&items[1].in_items);
    ck_list(&head, "134");
    list_remove(&items[0].in_items);
    list_remove(&items[3].in_items);
    ck_list(&head, "3");
    list_remove(&items[2].in_items);
    ck_assert(list_empty(&head));
}
END_TEST

START_TEST(an_entry_comes_back_at_the_end)
{
    struct list head;
    struct item items[3];
    fill(&head, items, 3);
    list_remove(&items[0].in_items);
    list_append(&head, &items[0].in_items);
    ck_list(&head, "231");
}
END_TEST

START_TEST(splices)
{
    struct list to, from, nothing;
    struct item first[2], second[3];
    fill(&to, first, 2);
    fill(&from, second, 3);
    list_init(&nothing);
    list_splice(&to, &nothing);
    ck_list(&to, "12");
    list_splice(&to, &from);
    ck_list(&to, "12123");
    ck_assert(list_empty(&from));
    list_splice(&nothing, &to);
    ck_list(&nothing, "12123");
    ck_assert(list_empty(&to));
}
END_TEST

START_TEST(the_current_entry_may_leave)
{
    struct list head;
    struct item *items[4];
    int seen = 0;
    list_init(&head);
    for (int i = 0; i < 4; i++) {
        items[i] = malloc(sizeof(**items));
        items[i]->number = i + 1;
        list_append(&head, &items[i]->in_items);
    }
    list_for_each_safe (it, &head) {
        struct item *item = list_entry(it, struct item, in_items);
        seen = seen * 10 + item->number;
        list_remove(it);
        free(item);
    }
    ck_assert_int_eq(seen, 1234);
    ck_assert(list_empty(&head));
}
END_TEST

Suite *suite_list(void)
{
    const TTest *const tests[] = {
        appends_in_order, removes_anywhere_and_twice,  an_entry_comes_back_at_the_end,
        splices,          the_current_entry_may_leave, NULL,
    };
    return unit_suite("list", tests);
}
