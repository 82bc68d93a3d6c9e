//! `toro inspect`: all that is known of a guest in the background, as JSON.

use crate::args::InspectArgs;
use crate::background::store::Store;
use crate::ui::Page;
use toro_vmm::Error;

/// Prints it.
pub(crate) fn inspect(args: &InspectArgs) -> Result<u8, Error> {
    let (_, state) = Store::open()?.find(&args.name)?;
    let mut page = Page::default();
    page.line(format_args!("{:#}", state.into_json()));
    page.print()?;
    Ok(0)
}
