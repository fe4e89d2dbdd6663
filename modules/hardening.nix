# What neither program needs, taken away. What stays open has a reason:
# * the network: it is what both are for;
# * ProcSubset: with "pid" there is no /proc/stat, from which a run tells that the machine was too slow;
# * MemoryDenyWriteExecute: FFmpeg's scalers write the code they run;
# * @resources in the system calls: both raise their own limit of open files.
{
  DynamicUser = true;
  CapabilityBoundingSet = "";
  DevicePolicy = "closed";
  LockPersonality = true;
  NoNewPrivileges = true;
  PrivateDevices = true;
  PrivateTmp = true;
  PrivateUsers = true;
  ProtectClock = true;
  ProtectControlGroups = true;
  ProtectHome = true;
  ProtectHostname = true;
  ProtectKernelLogs = true;
  ProtectKernelModules = true;
  ProtectKernelTunables = true;
  ProtectProc = "invisible";
  ProtectSystem = "strict";
  RemoveIPC = true;
  # NETLINK: the tables of sockets and addresses.
  RestrictAddressFamilies = [
    "AF_INET"
    "AF_INET6"
    "AF_NETLINK"
    "AF_UNIX"
  ];
  RestrictNamespaces = true;
  RestrictRealtime = true;
  RestrictSUIDSGID = true;
  SystemCallArchitectures = "native";
  SystemCallErrorNumber = "EPERM";
  SystemCallFilter = [
    "@system-service"
    "~@privileged"
  ];
  UMask = "0027";
}
