//! What would fail is measured again.

/// Measures until nothing would fail, or it failed once and then `retries` times more. Returns the last measurement and
/// how many there were.
///
/// # Errors
/// The first error of a measurement.
pub fn confirmed<T, E>(
    retries: usize,
    mut measure: impl FnMut() -> Result<T, E>,
    would_fail: impl Fn(&T) -> bool,
) -> Result<(T, usize), E> {
    let mut tries = 1;
    loop {
        let found = measure()?;
        if tries > retries || !would_fail(&found) {
            return Ok((found, tries));
        }
        tries += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_fails_is_measured_again() {
        let measured = |values: &[i32]| {
            let mut values = values.iter().copied();
            confirmed(2, || values.next().ok_or("too often"), |&value| value > 0)
        };
        assert_eq!(measured(&[0]), Ok((0, 1)));
        assert_eq!(measured(&[1, 0]), Ok((0, 2)));
        assert_eq!(measured(&[1, 2, 3]), Ok((3, 3)));
        assert_eq!(confirmed(0, || Ok::<_, ()>(1), |_| true), Ok((1, 1)));
    }
}
