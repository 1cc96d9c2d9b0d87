package dev.coldstart.planner.lp;

import java.util.Arrays;

/**
 * A minimisation problem in sparse form. It lives in Java arrays, so that it survives a solver that loses its own copy.
 * Bounds may be infinite; every other number is finite.
 */
public final class LinearProgram {
    private final double[] cost;
    private final double[] columnLower;
    private final double[] columnUpper;
    private final boolean[] integer;
    private final double[] rowLower;
    private final double[] rowUpper;
    private final int[] entryRow;
    private final int[] entryColumn;
    private final double[] entryValue;
    private final boolean mixedInteger;

    private LinearProgram(Builder b) {
        cost = Arrays.copyOf(b.cost, b.columns);
        columnLower = Arrays.copyOf(b.columnLower, b.columns);
        columnUpper = Arrays.copyOf(b.columnUpper, b.columns);
        integer = Arrays.copyOf(b.integer, b.columns);
        rowLower = Arrays.copyOf(b.rowLower, b.rows);
        rowUpper = Arrays.copyOf(b.rowUpper, b.rows);
        entryRow = Arrays.copyOf(b.entryRow, b.entries);
        entryColumn = Arrays.copyOf(b.entryColumn, b.entries);
        entryValue = Arrays.copyOf(b.entryValue, b.entries);
        boolean any = false;
        for (boolean i : integer) {
            any |= i;
        }
        mixedInteger = any;
    }

    public int columns() {
        return cost.length;
    }

    public int rows() {
        return rowLower.length;
    }

    public int entries() {
        return entryRow.length;
    }

    /** Whether any column must be a whole number. */
    public boolean mixedInteger() {
        return mixedInteger;
    }

    double cost(int column) {
        return cost[column];
    }

    double columnLower(int column) {
        return columnLower[column];
    }

    double columnUpper(int column) {
        return columnUpper[column];
    }

    boolean integer(int column) {
        return integer[column];
    }

    double rowLower(int row) {
        return rowLower[row];
    }

    double rowUpper(int row) {
        return rowUpper[row];
    }

    int entryRow(int entry) {
        return entryRow[entry];
    }

    int entryColumn(int entry) {
        return entryColumn[entry];
    }

    double entryValue(int entry) {
        return entryValue[entry];
    }

    /** Collects rows, columns and coefficients in any order. Not for several threads. */
    public static final class Builder {
        private double[] cost = new double[64];
        private double[] columnLower = new double[64];
        private double[] columnUpper = new double[64];
        private boolean[] integer = new boolean[64];
        private double[] rowLower = new double[64];
        private double[] rowUpper = new double[64];
        private int[] entryRow = new int[256];
        private int[] entryColumn = new int[256];
        private double[] entryValue = new double[256];
        private int columns;
        private int rows;
        private int entries;

        /** Adds a column; returns its number, from 0. */
        public int column(double costPerUnit, double lower, double upper, boolean whole) {
            requireFinite(costPerUnit, "cost");
            requireBounds(lower, upper);
            if (columns == cost.length) {
                int room = columns * 2;
                cost = Arrays.copyOf(cost, room);
                columnLower = Arrays.copyOf(columnLower, room);
                columnUpper = Arrays.copyOf(columnUpper, room);
                integer = Arrays.copyOf(integer, room);
            }
            cost[columns] = costPerUnit;
            columnLower[columns] = lower;
            columnUpper[columns] = upper;
            integer[columns] = whole;
            return columns++;
        }

        /** Adds a row {@code lower <= sum <= upper}; returns its number, from 0. */
        public int row(double lower, double upper) {
            requireBounds(lower, upper);
            if (rows == rowLower.length) {
                rowLower = Arrays.copyOf(rowLower, rows * 2);
                rowUpper = Arrays.copyOf(rowUpper, rows * 2);
            }
            rowLower[rows] = lower;
            rowUpper[rows] = upper;
            return rows++;
        }

        /** Sets one coefficient; each pair of row and column at most once. */
        public void coefficient(int row, int column, double value) {
            if (row < 0 || row >= rows || column < 0 || column >= columns) {
                throw new IllegalArgumentException("coefficient at row " + row + ", column " + column + " of a " + rows
                        + "×" + columns + " programme");
            }
            requireFinite(value, "coefficient");
            if (entries == entryRow.length) {
                int room = entries * 2;
                entryRow = Arrays.copyOf(entryRow, room);
                entryColumn = Arrays.copyOf(entryColumn, room);
                entryValue = Arrays.copyOf(entryValue, room);
            }
            entryRow[entries] = row;
            entryColumn[entries] = column;
            entryValue[entries] = value;
            entries++;
        }

        public LinearProgram build() {
            return new LinearProgram(this);
        }

        private static void requireFinite(double value, String what) {
            if (!Double.isFinite(value)) {
                throw new IllegalArgumentException(what + " is " + value);
            }
        }

        private static void requireBounds(double lower, double upper) {
            if (Double.isNaN(lower) || Double.isNaN(upper) || lower > upper) {
                throw new IllegalArgumentException("bounds " + lower + " to " + upper);
            }
        }
    }
}
