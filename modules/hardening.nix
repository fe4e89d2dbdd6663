# Confines both programs to what they need. These restrictions are missing for a reason:
# * the network: both programs need it;
# * ProcSubset: with "pid" there is no /proc/stat, with which a run detects that the machine was too slow;
# * MemoryDenyWriteExecute: FFmpeg's scalers generate code at run time;
# * @resources in the system calls: both programs raise their own limit of open files.
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
  # NETLINK: to read the tables of sockets and addresses.
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
