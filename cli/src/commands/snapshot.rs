//! `snapshot` and `restore`.

use std::path::Path;

use weighbridge_collector::{Access, fetch_snapshot, restore_dir, send_restore, snapshot_dir};

use crate::args::{RestoreArgs, SnapshotArgs};
use crate::exit::{Exit, Stop};
use crate::{output, runtime};

/// Copies everything into a file.
pub(crate) fn take(args: &SnapshotArgs) -> Result<Exit, Stop> {
    if args.from.contains("://") {
        let access = Access::from_env();
        let fetch = fetch_snapshot(&args.from, &access, &args.out);
        runtime::current_thread()?
            .block_on(fetch)
            .map_err(anyhow::Error::new)?;
    } else {
        snapshot_dir(Path::new(&args.from), &args.out).map_err(anyhow::Error::new)?;
    }
    output::data(&output::visible(&format!("{}\n", args.out.display())))?;
    Ok(Exit::Ok)
}

/// Puts a copy in the place of everything.
pub(crate) fn restore(args: &RestoreArgs) -> Result<Exit, Stop> {
    if args.to.contains("://") {
        // A running collector holds at least its own windows.
        if !args.replace {
            return Err(Stop::usage(
                "a restore throws away what the collector holds now; say --replace if you mean it, and take a \
                 `weighbridge snapshot` of it before",
            ));
        }
        let access = Access::from_env();
        let send = send_restore(&args.to, &access, &args.from);
        runtime::current_thread()?
            .block_on(send)
            .map_err(anyhow::Error::new)?;
    } else {
        let damaged = restore_dir(&args.from, Path::new(&args.to), args.replace)
            .map_err(anyhow::Error::new)?;
        if let Some(kept) = damaged {
            output::note(&format!(
                "the database that was there is damaged; it is kept as {}",
                kept.display()
            ));
        }
    }
    output::note("restored; what had come since the snapshot comes again, or shows as lost");
    Ok(Exit::Ok)
}
