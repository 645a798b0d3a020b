//! Matrix products on row-major f32 slices through the gemm crate, with every index checked beforehand.

use gemm::Parallelism;

use super::skinny;

/// A matrix in a slice: element (i, j) is at `i * row + j * col`.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row: usize,
    pub(crate) col: usize,
}

impl<'a> Mat<'a> {
    /// Row-major with `row` values from one row to the next.
    pub(crate) fn rows(data: &'a [f32], row: usize) -> Self {
        Mat { data, row, col: 1 }
    }

    /// The transpose, without moving anything.
    pub(crate) fn t(self) -> Self {
        Mat {
            data: self.data,
            row: self.col,
            col: self.row,
        }
    }

    fn last(&self, rows: usize, cols: usize) -> usize {
        (rows - 1) * self.row + (cols - 1) * self.col
    }
}

/// Who shares the work of one product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread alone: the caller is parallel already.
    One,
    /// All threads of the pool.
    All,
}

/// dst [m, n] = scale · a [m, k] · b [k, n], or dst += that when `accumulate`; `dst` is row-major with `dst_row`
/// values from one row to the next.
#[allow(clippy::too_many_arguments)] // the operands of a BLAS gemm
pub(crate) fn gemm(
    (m, n, k): (usize, usize, usize),
    dst: &mut [f32],
    dst_row: usize,
    accumulate: bool,
    scale: f32,
    a: Mat<'_>,
    b: Mat<'_>,
    threads: Threads,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        dst_row >= n && (m - 1) * dst_row + n <= dst.len(),
        "product larger than its destination"
    );
    if k == 0 {
        if !accumulate {
            dst.chunks_mut(dst_row).take(m).for_each(|row| row[..n].fill(0.0));
        }
        return;
    }
    assert!(a.last(m, k) < a.data.len(), "left operand too short");
    assert!(b.last(k, n) < b.data.len(), "right operand too short");
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(rayon::current_num_threads()),
    };
    // SAFETY: the three assertions above bound the largest index each operand is read or written at; `dst` is
    // borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            dst_row as isize,
            accumulate,
            a.data.as_ptr(),
            a.col as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.col as isize,
            b.row as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// y [rows, out] = x [rows, inp] · Wᵀ, with W [out, inp] as Hugging Face keeps it.
pub(crate) fn linear(x: &[f32], w: &[f32], inp: usize, out: usize, y: &mut [f32], accumulate: bool, threads: Threads) {
    let rows = x.len() / inp;
    if threads == Threads::All && rows <= skinny::MAX_ROWS {
        return skinny::linear(x, w, inp, out, y, accumulate);
    }
    gemm(
        (rows, out, inp),
        y,
        out,
        accumulate,
        1.0,
        Mat::rows(x, inp),
        Mat::rows(w, inp).t(),
        threads,
    );
}

/// dx [rows, inp] = dy [rows, out] · W.
pub(crate) fn linear_input(dy: &[f32], w: &[f32], inp: usize, out: usize, dx: &mut [f32], threads: Threads) {
    let rows = dy.len() / out;
    gemm(
        (rows, inp, out),
        dx,
        inp,
        false,
        1.0,
        Mat::rows(dy, out),
        Mat::rows(w, inp),
        threads,
    );
}

/// dW [out, inp] = dyᵀ · x, or += when `accumulate`.
pub(crate) fn linear_weight(dy: &[f32], x: &[f32], inp: usize, out: usize, dw: &mut [f32], accumulate: bool) {
    let rows = dy.len() / out;
    gemm(
        (out, inp, rows),
        dw,
        inp,
        accumulate,
        1.0,
        Mat::rows(dy, out).t(),
        Mat::rows(x, inp),
        Threads::All,
    );
}
