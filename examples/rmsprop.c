/* RMSProp as a program for the oracle to ask: a request a line in, an answer a line out.
   cc -std=c99 -O2 -o rmsprop rmsprop.c -lm
   There is no JSON library here: keys, order and spaces of a request are fixed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double lr, beta, eps_in, eps_out;

static double step_double(double theta, double *v, double g) {
    *v = beta * *v + (1 - beta) * (g * g);
    return theta - lr * g / (sqrt(*v + eps_in) + eps_out);
}

static double step_float(double theta, double *v, double gradient) {
    float eta = lr, b = beta, rest = 1 - beta, in = eps_in, out = eps_out;
    float w = *v, g = gradient; /* from here on every operation is one of float */
    w = b * w + rest * (g * g);
    *v = w;
    return (float)theta - eta * g / (sqrtf(w + in) + out);
}

static double field(const char *line, const char *key) { /* key as in "beta": " */
    return strtod(strstr(line, key) + strlen(key), NULL);
}

static char *after_comma(char *at) { return at + strspn(at, ", "); }

static char *read_line(void) {
    size_t size = 1 << 16, used = 0;
    char *line = malloc(size);
    while (line && fgets(line + used, size - used, stdin)) {
        used += strlen(line + used);
        if (line[used - 1] == '\n') return line;
        line = realloc(line, size *= 2);
    }
    free(line);
    return NULL;
}

int main(void) {
    const char *plain = "\"eps_floor\": \"0x0p+0\", \"v0\": \"0x0p+0\", "
                        "\"bias_correction\": false, \"centered\": false, "
                        "\"momentum\": \"0x0p+0\"";
    for (char *line; (line = read_line()); free(line)) {
        int single = strstr(line, "\"dtype\": \"float32\"") != NULL;
        printf("{\"id\": %ld, ", strtol(strstr(line, "\"id\": ") + 6, NULL, 10));
        if (!strstr(line, plain) || !strstr(line, "\"weight_decay\": \"0x0p+0\"") ||
            strstr(line, "\"lr\": [") || !(single || strstr(line, "\"float64\""))) {
            puts("\"unsupported\": \"plain RMSProp only, in float32 or float64\"}");
            fflush(stdout);
            continue;
        }
        lr = field(line, "\"lr\": \"");
        beta = field(line, "\"beta\": \"");
        eps_in = field(line, "\"eps_in\": \"");
        eps_out = field(line, "\"eps_out\": \"");
        double *theta = calloc(strlen(line), sizeof *theta); /* more than enough */
        double *v = calloc(strlen(line), sizeof *v);
        size_t n = 0;
        char *at = strstr(line, "\"theta0\": [") + 11;
        while (*at == '"') { /* at the quote before a number, then at the one behind it */
            theta[n++] = strtod(at + 1, &at);
            at = after_comma(at + 1);
        }
        printf("\"trajectory\": [");
        at = strstr(at, "\"grads\": [") + 10;
        for (const char *comma = ""; *at == '['; comma = ", ") {
            printf("%s[", comma);
            at++;
            for (size_t i = 0; i < n; i++) {
                double g = strtod(at + 1, &at);
                at = after_comma(at + 1);
                theta[i] = (single ? step_float : step_double)(theta[i], v + i, g);
                printf(i ? ", \"%a\"" : "\"%a\"", theta[i]);
            }
            putchar(']');
            at = after_comma(at + 1);
        }
        puts("]}");
        fflush(stdout); /* without this the answer stays in a buffer */
        free(theta);
        free(v);
    }
}
