/** Linear and mixed-integer programmes, and the solver behind them. */
@NullMarked
package dev.coldstart.planner.lp;

import org.jspecify.annotations.NullMarked;
