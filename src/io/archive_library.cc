#include "io/archive_library.h"

#include "io/library.h"

namespace imagewright {

const Archive& archive() {
  static const Archive loaded = [] {
    const Library library("libarchive.so.13", "libarchive",
                          "to send contexts to workers it takes libarchive (Debian: libarchive13)");
    Archive all;
    library.find("archive_error_string", all.error);
    library.find("archive_write_new", all.write_new);
    library.find("archive_write_free", all.write_free);
    library.find("archive_write_set_format_pax", all.write_format);
    library.find("archive_write_add_filter_zstd", all.write_filter);
    library.find("archive_write_set_options", all.write_options);
    library.find("archive_write_open_fd", all.write_open);
    library.find("archive_write_header", all.write_header);
    library.find("archive_write_data", all.write_data);
    library.find("archive_write_close", all.write_close);
    library.find("archive_read_new", all.read_new);
    library.find("archive_read_free", all.read_free);
    library.find("archive_read_support_format_tar", all.read_format);
    library.find("archive_read_support_filter_zstd", all.read_filter);
    library.find("archive_read_open_filename", all.read_open);
    library.find("archive_read_next_header", all.read_header);
    library.find("archive_read_data_block", all.read_block);
    library.find("archive_write_disk_new", all.disk_new);
    library.find("archive_write_disk_set_options", all.disk_options);
    library.find("archive_write_data_block", all.disk_block);
    library.find("archive_write_finish_entry", all.disk_finish);
    library.find("archive_entry_new", all.entry_new);
    library.find("archive_entry_free", all.entry_free);
    library.find("archive_entry_pathname", all.path);
    library.find("archive_entry_set_pathname", all.set_path);
    library.find("archive_entry_hardlink", all.hard_link);
    library.find("archive_entry_filetype", all.type);
    library.find("archive_entry_set_filetype", all.set_type);
    library.find("archive_entry_perm", all.mode);
    library.find("archive_entry_set_perm", all.set_mode);
    library.find("archive_entry_size", all.size);
    library.find("archive_entry_set_size", all.set_size);
    library.find("archive_entry_set_mtime", all.set_time);
    library.find("archive_entry_symlink", all.symlink);
    library.find("archive_entry_set_symlink", all.set_symlink);
    library.find("archive_entry_rdev", all.device);
    library.find("archive_entry_set_rdev", all.set_device);
    library.find("archive_entry_xattr_reset", all.first_xattr);
    library.find("archive_entry_xattr_next", all.next_xattr);
    library.find("archive_entry_xattr_add_entry", all.add_xattr);
    return all;
  }();
  return loaded;
}

}  // namespace imagewright
