# Fails unless every object defines exactly one global symbol, and no weak one: a weak symbol of
# one instruction set could be chosen by the linker for all of them (botan#5260, numpy#25274).
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${NM} --defined-only --extern-only --demangle ${object}
                  OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX REPLACE "\n$" "" listing "${listing}")
  string(REPLACE "\n" ";" symbols "${listing}")
  list(LENGTH symbols count)
  if(NOT count EQUAL 1 OR NOT listing MATCHES " [DRB] veil::kernels::")
    message(FATAL_ERROR "${object}: expected one global KernelTable, found:\n${listing}")
  endif()
endforeach()
