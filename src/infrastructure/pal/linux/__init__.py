"""Linux: the TUN device, netlink, nftables and sysctl; what is changed here is undone here."""
