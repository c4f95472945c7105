//! Amounts of memory and traffic, as people read them.

/// Bytes for people, in MB (10^6).
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "a figure for people, with one decimal"
)]
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Three digits and a unit of 1024, as Docker writes memory: `1.50MiB`.
pub(super) fn binary(bytes: u64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

/// Three digits and a unit of 1000, as Docker writes traffic: `1.50MB`.
pub(super) fn decimal(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB"])
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a figure for people, of three digits"
)]
fn scaled(bytes: u64, base: f64, units: &[&str]) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let decimals = match value {
        _ if unit == 0 => 0,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(
            [0, 999, 1000, 1023, 10_239, 1_048_575].map(binary),
            ["0B", "999B", "0.98KiB", "1.00KiB", "10.0KiB", "1.00MiB"]
        );
        assert_eq!(decimal(999_500), "1.00MB");
    }
}
