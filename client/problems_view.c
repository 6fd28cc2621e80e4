#include "client/problems_view.h"

#include "client/text.h"

static void print_text(FILE *to, const cJSON *problem, const char *name)
{
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(problem, name);
    text_show(to, slice_str(cJSON_IsString(text) ? text->valuestring : "-"), "  ");
}

bool problems_view_print(FILE *to, const cJSON *status, const char *bad, const char *end)
{
    const cJSON *problems = cJSON_GetObjectItemCaseSensitive(status, "problems"), *problem;
    cJSON_ArrayForEach(problem, problems)
    {
        fputs(bad, to);
        print_text(to, problem, "text");
        fprintf(to, "%s\n  what helps: ", end);
        print_text(to, problem, "help");
        fputc('\n', to);
    }
    return cJSON_IsArray(problems);
}
