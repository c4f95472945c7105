//! What an instance can and cannot see and do.

use anyhow::{Result, ensure};

use crate::setting::{Lab, said};

/// The newest PostgreSQL client of the machine (the one on the PATH is a wrapper that wants Perl and a home), as a shell word.
const PSQL: &str = "$(ls /usr/lib/postgresql/*/bin/psql | tail -n 1)";

/// Runs a shell command in an instance: whether it succeeded, and all it said.
async fn shell(lab: &Lab<'_>, instance: &str, script: &str) -> Result<(bool, String)> {
    let output = lab.exec(instance, &["/bin/sh", "-c", script]).await?;
    Ok((output.status.success(), said(&output)))
}

/// `exec` ends as the program does, and as Docker's does when there is no program to run.
pub(crate) async fn exec_passes_exit_codes_on(lab: &Lab<'_>) -> Result<()> {
    for (argv, wanted) in [
        (&["/bin/sh", "-c", "exit 7"][..], 7),
        (&["/bin/sh", "-c", "kill -9 $$"], 128 + 9),
        (&["/etc/hosts"], 126),
        (&["no-such-program"], 127),
        (&["/no/such/program"], 127),
    ] {
        let output = lab.exec("product-service-1", argv).await?;
        ensure!(
            output.status.code() == Some(wanted),
            "{argv:?}: {:?} {}",
            output.status,
            said(&output)
        );
    }
    Ok(())
}

/// Each service's roles open its own database and no other, tried with the real passwords from inside its sandbox.
pub(crate) async fn databases_are_apart(lab: &Lab<'_>) -> Result<()> {
    for (instance, own, other) in [
        ("product-service-1", "catalog", "orders"),
        ("order-service-1", "orders", "catalog"),
    ] {
        for role in [own.to_owned(), format!("{own}_owner")] {
            let secret = format!("/run/secrets/{}-password", role.replace('_', "-"));
            let connect = |database: &str, sql: &str| {
                format!(
                    "PGPASSWORD=$(cat {secret}) {PSQL} -X -A -t -h postgres -U {role} -d {database} -c '{sql}'"
                )
            };
            let (ok, said) = shell(lab, instance, &connect(own, "select current_user")).await?;
            ensure!(
                ok && said.contains(&role),
                "{role} cannot use its own database {own}: {said}"
            );
            for foreign in [other, "postgres", "template1"] {
                let (ok, said) = shell(lab, instance, &connect(foreign, "select 1")).await?;
                ensure!(
                    !ok && said.contains("permission denied for database"),
                    "{role} -> {foreign}: {said}"
                );
            }
            let (ok, said) =
                shell(lab, instance, &connect(own, "create table intruder ()")).await?;
            let is_owner = role.ends_with("_owner");
            ensure!(ok == is_owner, "{role} creating a table: {said}");
            if is_owner {
                let (ok, said) = shell(lab, instance, &connect(own, "drop table intruder")).await?;
                ensure!(ok, "{said}");
            }
        }
        let guess =
            format!("PGPASSWORD=guess {PSQL} -X -h postgres -U {own} -d {own} -c 'select 1'");
        let (ok, said) = shell(lab, instance, &guess).await?;
        ensure!(
            !ok && said.contains("password authentication failed"),
            "a guessed password: {said}"
        );
    }
    Ok(())
}

/// A service sees its own secrets, processes and names, and no others. What it cannot do is the story of its confinement.
pub(crate) async fn services_see_their_own(lab: &Lab<'_>) -> Result<()> {
    let own = [
        "admin-token",
        "catalog-owner-password",
        "catalog-password",
        "redis-password",
        "registry-token",
    ];
    let (_, said) = shell(
        lab,
        "product-service-1",
        "cd /run/secrets && echo secrets: *",
    )
    .await?;
    ensure!(
        said.contains(&format!("secrets: {}\n", own.join(" "))),
        "product-service sees {said}"
    );
    let many = "[ $(ls -d /proc/[0-9]* | wc -l) -gt 10 ]";
    let (ok, said) = shell(lab, "product-service-1", many).await?;
    ensure!(!ok, "it sees other processes: {said}");
    let (ok, said) = shell(
        lab,
        "product-service-1",
        "id -u && touch /tmp/own && cat /etc/hosts",
    )
    .await?;
    ensure!(ok && said.contains("65532\n"), "{said}");
    ensure!(
        said.contains("postgres") && !said.contains("api-gateway"),
        "it knows the names it may reach, and no others: {said}"
    );
    Ok(())
}
