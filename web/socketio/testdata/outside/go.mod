// A module of its own that imports Socket.IO and Engine.IO as other people's modules do. TestAnotherModuleServesStockClients
// builds it, with the requirements and checksums of the main module, which are not repeated here.
module example.com/outside

go 1.26

require github.com/traceroom/traceroom v0.0.0

replace github.com/traceroom/traceroom => ../../../..
