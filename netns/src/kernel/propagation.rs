//! Mounts of a namespace of one's own (`mount_namespaces(7)`, "Shared subtrees").

use nix::mount::{MsFlags, mount};

/// From now on no mount of this namespace is seen outside, and none of outside here.
pub(super) fn keep_mounts_to_itself() -> nix::Result<()> {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
}
