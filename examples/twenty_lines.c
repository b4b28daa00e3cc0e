/* The protocol in twenty lines: one rule, lr=0.01,beta=0.9,eps_out=1e-8, in float64.
   cc -std=c99 -o twenty_lines twenty_lines.c -lm */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    static char line[1 << 24];
    static double theta[1 << 16], v[1 << 16];
    while (fgets(line, sizeof line, stdin)) {
        size_t n = 0, i = 0;
        char *at = strchr(strstr(line, "\"theta0\""), '[');
        while (*++at != ']')
            if (*at == '"') v[n] = 0, theta[n++] = strtod(at + 1, &at);
        printf("{\"id\": %ld, \"trajectory\": ", strtol(strstr(line, "\"id\"") + 6, NULL, 10));
        for (at = strchr(strstr(at, "\"grads\""), '['); *at != '}'; at++) {
            if (*at == '"') { /* a number: answer it with a number */
                double g = strtod(at + 1, &at);
                v[i] = 0.9 * v[i] + 0.1 * (g * g);
                theta[i] -= 0.01 * g / (sqrt(v[i]) + 1e-8);
                printf("\"%a\"", theta[i++]);
            } else { /* brackets and commas: an answer has the shape of the gradients */
                putchar(*at);
                if (*at == ']') i = 0;
            }
        }
        puts("}");
        fflush(stdout);
    }
}
