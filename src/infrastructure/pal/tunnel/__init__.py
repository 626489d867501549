"""What a client and a server need from the platform: their TUN devices and their workers."""
