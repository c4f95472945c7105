//! Who may register: checked at the edge, before the core sees anything.

use std::collections::BTreeMap;
use std::net::IpAddr;

use common::problem::Problem;
use ipnet::IpNet;

/// Above this, numbers lose digits in JSON readers that use floating point.
const MAX_GENERATION: u64 = (1 << 53) - 1;
const MAX_METADATA: usize = 16;
const MAX_METADATA_KEY: usize = 64;
const MAX_METADATA_VALUE: usize = 256;

/// Refuses an address outside `PROBE_CIDRS`, naming the field that it came in: the registry dials what registers, and
/// must not be made a tool for reaching other networks.
pub fn address(address: IpAddr, pointer: &str, allowed: &[IpNet]) -> Result<(), Problem> {
    let address = address.to_canonical();
    if allowed.iter().any(|network| network.contains(&address))
        && !address.is_multicast()
        && !address.is_unspecified()
    {
        return Ok(());
    }
    Err(Problem::invalid(
        pointer,
        format!("{address} is outside PROBE_CIDRS, the networks that may register"),
    ))
}

/// Refuses port 0.
pub fn port(port: u16) -> Result<(), Problem> {
    if port == 0 {
        Err(Problem::invalid("/port", "is 0"))
    } else {
        Ok(())
    }
}

/// Refuses generations that not every client could read back.
pub fn generation(generation: u64) -> Result<(), Problem> {
    match generation {
        1..=MAX_GENERATION => Ok(()),
        _ => Err(Problem::invalid(
            "/generation",
            format!("is not between 1 and {MAX_GENERATION}"),
        )),
    }
}

/// Bounds metadata: it is kept in memory and sent to every watcher.
pub fn metadata(metadata: &BTreeMap<String, String>) -> Result<(), Problem> {
    if metadata.len() > MAX_METADATA {
        return Err(Problem::invalid(
            "/metadata",
            format!("has more than {MAX_METADATA} entries"),
        ));
    }
    for (key, value) in metadata {
        if !(1..=MAX_METADATA_KEY).contains(&key.len()) || value.len() > MAX_METADATA_VALUE {
            let limits = format!(
                "keys are 1 to {MAX_METADATA_KEY} bytes, values at most {MAX_METADATA_VALUE}"
            );
            return Err(Problem::invalid("/metadata", limits));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_probe_networks_may_register() {
        let allowed: Vec<IpNet> = vec![
            "172.21.0.0/24".parse().unwrap(),
            "0.0.0.0/0".parse().unwrap(),
        ];
        let check =
            |text: &str, allowed: &[IpNet]| address(text.parse().unwrap(), "/address", allowed);
        assert!(check("172.21.0.130", &allowed[..1]).is_ok());
        assert!(check("::ffff:172.21.0.130", &allowed[..1]).is_ok());
        for outside in ["172.22.0.10", "127.0.0.1", "::1", "169.254.169.254"] {
            let problem = check(outside, &allowed[..1]).unwrap_err();
            assert_eq!(problem.errors()[0].pointer, "/address");
        }
        assert!(check("0.0.0.0", &allowed).is_err() && check("224.0.0.1", &allowed).is_err());
    }

    #[test]
    fn metadata_is_bounded() {
        let of = |key: &str, value: &str| {
            metadata(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
        };
        assert!(of("zone", "a").is_ok());
        assert!(
            of("", "a").is_err()
                && of(&"k".repeat(65), "a").is_err()
                && of("k", &"v".repeat(257)).is_err()
        );
        let many = (0..17).map(|n| (n.to_string(), String::new())).collect();
        assert!(metadata(&many).is_err());
    }
}
