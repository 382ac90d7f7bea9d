"""Files on disks, in object stores and over HTTP."""
