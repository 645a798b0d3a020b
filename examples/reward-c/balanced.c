// Whether the TeX of a response is balanced: 1 if it is, less the more it is not.
//
//     score = 1 / (1 + unmatched)
//
// `unmatched` counts every "}" without a "{" before it, every "{" that nothing closes, and 1 for an odd number of "$".
// A character after a backslash is text: "\{", "\$".
//
// Each response is read once, so the time is linear in its length.
//
// reward.h is generated from the WIT world, with a function to write for each one that the world exports. Arguments
// belong to the function and are freed here; results are freed by the generated code, so their texts are copies.

#include <stdlib.h>

#include "reward.h"

static float balance(const reward_string_t *text) {
    size_t open = 0, unmatched = 0, dollars = 0;
    for (size_t i = 0; i < text->len; i++) {
        switch (text->ptr[i]) {
        case '\\':
            i++;
            break;
        case '{':
            open++;
            break;
        case '}':
            if (open > 0) {
                open--;
            } else {
                unmatched++;
            }
            break;
        case '$':
            dollars++;
            break;
        }
    }
    return 1.0f / (float)(1 + unmatched + open + dollars % 2);
}

void exports_moa_reward_scorer_describe(exports_moa_reward_scorer_description_t *description) {
    reward_string_dup(&description->name, "balanced-tex");
    reward_string_dup(&description->about, "1 if braces and dollar signs are balanced, else 1 / (1 + unmatched).");
    description->validation = EXPORTS_MOA_REWARD_SCORER_PERFORMANCE_SCORE;
    description->needs_means = false;
    reward_string_dup(&description->params, "[]");
}

// It has no params: anything but {} is an error.
bool exports_moa_reward_scorer_configure(reward_string_t *params, reward_string_t *error) {
    bool none = params->len == 2;
    reward_string_free(params);
    if (!none) {
        reward_string_dup(error, "balanced-tex takes no params: expected {}, found some");
    }
    return none;
}

bool exports_moa_reward_scorer_score(
    exports_moa_reward_scorer_list_completion_t *completions,
    exports_moa_reward_scorer_list_result_f32_string_t *scores,
    reward_string_t *error
) {
    scores->len = completions->len;
    scores->ptr = calloc(completions->len, sizeof *scores->ptr);
    bool done = scores->ptr != NULL || scores->len == 0;
    for (size_t i = 0; done && i < completions->len; i++) {
        scores->ptr[i].is_err = false;
        scores->ptr[i].val.ok = balance(&completions->ptr[i].response);
    }
    if (!done) {
        reward_string_dup(error, "no memory for the scores");
    }
    exports_moa_reward_scorer_list_completion_free(completions);
    return done;
}
