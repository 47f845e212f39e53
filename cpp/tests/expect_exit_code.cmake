# Fails unless COMMAND (a list) ends with the exit code EXPECTED.
execute_process(COMMAND ${COMMAND} RESULT_VARIABLE code)
if(NOT code STREQUAL EXPECTED)
  message(FATAL_ERROR "expected exit code ${EXPECTED}, got ${code}: ${COMMAND}")
endif()
