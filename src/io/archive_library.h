// libarchive, loaded when it is first used. For io/pack alone.
#pragma once

#include <archive.h>
#include <archive_entry.h>

namespace imagewright {

/// What we use of it.
struct Archive {
  decltype(&archive_error_string) error = nullptr;
  decltype(&archive_write_new) write_new = nullptr;
  decltype(&archive_write_free) write_free = nullptr;
  decltype(&archive_write_set_format_pax) write_format = nullptr;
  decltype(&archive_write_add_filter_zstd) write_filter = nullptr;
  decltype(&archive_write_set_options) write_options = nullptr;
  decltype(&archive_write_open_fd) write_open = nullptr;
  decltype(&archive_write_header) write_header = nullptr;
  decltype(&archive_write_data) write_data = nullptr;
  decltype(&archive_write_close) write_close = nullptr;
  decltype(&archive_read_new) read_new = nullptr;
  decltype(&archive_read_free) read_free = nullptr;
  decltype(&archive_read_support_format_tar) read_format = nullptr;
  decltype(&archive_read_support_filter_zstd) read_filter = nullptr;
  decltype(&archive_read_open_filename) read_open = nullptr;
  decltype(&archive_read_next_header) read_header = nullptr;
  decltype(&archive_read_data_block) read_block = nullptr;
  decltype(&archive_write_disk_new) disk_new = nullptr;
  decltype(&archive_write_disk_set_options) disk_options = nullptr;
  decltype(&archive_write_data_block) disk_block = nullptr;
  decltype(&archive_write_finish_entry) disk_finish = nullptr;
  decltype(&archive_entry_new) entry_new = nullptr;
  decltype(&archive_entry_free) entry_free = nullptr;
  decltype(&archive_entry_pathname) path = nullptr;
  decltype(&archive_entry_set_pathname) set_path = nullptr;
  decltype(&archive_entry_hardlink) hard_link = nullptr;
  decltype(&archive_entry_filetype) type = nullptr;
  decltype(&archive_entry_set_filetype) set_type = nullptr;
  decltype(&archive_entry_perm) mode = nullptr;
  decltype(&archive_entry_set_perm) set_mode = nullptr;
  decltype(&archive_entry_size) size = nullptr;
  decltype(&archive_entry_set_size) set_size = nullptr;
  decltype(&archive_entry_set_mtime) set_time = nullptr;
  decltype(&archive_entry_symlink) symlink = nullptr;
  decltype(&archive_entry_set_symlink) set_symlink = nullptr;
  decltype(&archive_entry_rdev) device = nullptr;
  decltype(&archive_entry_set_rdev) set_device = nullptr;
  decltype(&archive_entry_xattr_reset) first_xattr = nullptr;
  decltype(&archive_entry_xattr_next) next_xattr = nullptr;
  decltype(&archive_entry_xattr_add_entry) add_xattr = nullptr;
};

/// Loaded once, and never unloaded. Throws Error(Missing) where there is none.
const Archive& archive();

}  // namespace imagewright
